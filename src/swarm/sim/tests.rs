use super::*;

const MBIT: f64 = 125_000.0;

#[test]
fn scratch() {
    for (hosts, rate, length) in [(8, 50.0, 64 << 20), (16, 25.0, 32 << 20), (16, 50.0, 64<<20), (32, 20.0, 32 << 20)] {
        for seed in 0..3 {
            let scene = Scene::equal(hosts, rate * MBIT, length, seed);
            let t = std::time::Instant::now();
            let o = simulate(&scene);
            println!("{hosts}x{rate}: eff {:.3} copies {:.3} dup {:.4} events {} in {:?}", scene.limit() / o.last().unwrap(), o.copies, o.duplicates, o.events, t.elapsed());
        }
    }
}
