use super::*;

const MBIT: f64 = 125_000.0;

#[test]
fn scratch() {
    let eq = |n, r, l: u64| Scene::equal(n, r * MBIT, l << 20, 0);
    let mut slow = eq(8, 50.0, 64);
    slow.hosts[7] = (5.0 * MBIT, 5.0 * MBIT);
    let mut slow16 = eq(16, 50.0, 64);
    slow16.hosts[7] = (5.0 * MBIT, 5.0 * MBIT);
    let mut slow3 = eq(16, 50.0, 64);
    for i in 0..4 {
        slow3.hosts[i] = (5.0 * MBIT, 5.0 * MBIT);
    }
    let mut fast = eq(8, 50.0, 64);
    fast.seeder = 200.0 * MBIT;
    let mut unlim = eq(8, 5000.0, 512);
    unlim.seeder = 5000.0 * MBIT;
    let mut asym = eq(16, 50.0, 64);
    asym.seeder = 200.0 * MBIT;
    for h in &mut asym.hosts {
        h.0 = 10.0 * MBIT;
    }
    let mut far = eq(16, 50.0, 64);
    far.delay = std::time::Duration::from_millis(25);
    let mut third = eq(32, 20.0, 32);
    third.deaths = (0..10)
        .map(|i| Death { at: std::time::Duration::from_secs(6), host: crate::control::HostId(i * 3) })
        .collect();
    let scenes = [
        ("8x50", eq(8, 50.0, 64)),
        ("16x25", eq(16, 25.0, 32)),
        ("32x20", eq(32, 20.0, 32)),
        ("8x50 one slow", slow),
        ("16x50 one slow", slow16),
        ("16x50 4 slow", slow3),
        ("8x50 fast seeder", fast),
        ("16x50/10 asym seeder 200", asym),
        ("16x50 50ms rtt", far),
        ("third dies", third),
        ("8x5000", unlim),
    ];
    for (name, scene) in scenes {
        let mut e = vec![];
        let mut c = vec![];
        for seed in 0..2 {
            let mut scene = scene.clone();
            scene.seed = seed;
            let o = simulate(&scene);
            let mut s: Vec<f64> = o.seconds.iter().flatten().copied().collect();
            s.sort_by(f64::total_cmp);
            e.push((scene.limit(), s[0], s[s.len() / 2], s[s.len() - 2], o.last().unwrap(), s.len()));
            c.push(o.copies);
        }
        println!("{name}: limit, first, median, last but one, last {e:.3?} copies {c:.3?}");
    }
}
