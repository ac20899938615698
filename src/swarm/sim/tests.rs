use super::*;

const MBIT: f64 = 125_000.0;

#[test]
fn scratch() {
    for (n, l) in [(100, 16), (1000, 4), (1000, 16)] {
        let mut scene = Scene::equal(n, 100.0 * MBIT, l << 20, 0);
        let t = std::time::Instant::now();
        let o = simulate(&scene);
        println!(
            "{n} x {l} MiB: eff {:.3} {:.3} copies {:.3} dup {:.4} events {} in {:?}",
            scene.limit() / o.last().unwrap(),
            o.last().unwrap(),
            o.copies,
            o.duplicates,
            o.events,
            t.elapsed()
        );
    }
}
