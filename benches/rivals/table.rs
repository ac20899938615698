use crate::clients::Contender;
use crate::measured::Measured;

/// All runs of a contender.
pub(crate) type Runs = Vec<(Contender, Vec<Measured>)>;

fn cell(value: Option<f64>, digits: usize, unit: &str) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}{unit}"))
}

/// The middle one of several runs' values, or the mean of the two in the middle.
fn median(runs: &[Measured], value: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = runs.iter().filter_map(value).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2)?;
    let below = if values.len().is_multiple_of(2) { values.get(values.len() / 2 - 1)? } else { middle };
    Some((middle + below) / 2.0)
}

/// Median of a contender's runs; `None` if it took no part.
fn of(runs: &Runs, contender: Contender, value: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
    let (_, measured) = runs.iter().find(|(other, _)| *other == contender)?;
    median(measured, value)
}

/// The rows for hosts on links; `least` is the fluid limit in seconds.
pub(crate) fn links(runs: &Runs, least: f64) {
    println!(
        "| | last host has it | of the fluid limit | whole command | sender's link carried | CPU-s/GiB at receivers | most memory |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (contender, measured) in runs {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            contender.name(),
            cell(median(measured, |run| Some(run.seconds)), 2, " s"),
            cell(median(measured, |run| Some(100.0 * least / run.seconds)), 0, " %"),
            cell(median(measured, |run| run.command), 2, " s"),
            cell(median(measured, Measured::copies), 2, " x"),
            cell(median(measured, Measured::cpu_per_gib), 2, ""),
            cell(median(measured, |run| run.peak.map(|peak| peak as f64 / f64::from(1 << 20))), 1, " MiB"),
        );
    }
    println!();
    let seconds = |contender| of(runs, contender, |run| Some(run.seconds));
    let Some(ours) = seconds(Contender::Murder) else { return };
    let command = of(runs, Contender::Murder, |run| run.command);
    let seeded = of(runs, Contender::Murder, |run| run.seeded);
    let duplicates = of(runs, Contender::Murder, |run| run.duplicates.map(|share| share * 100.0));
    println!(
        "murder: {} of payload left the seeder, {} came twice; the whole command took {} the fluid limit",
        cell(seeded, 3, " copies"),
        cell(duplicates, 2, " %"),
        cell(command.map(|command| command / least), 2, " x"),
    );
    for (rival, _) in runs.iter().filter(|(contender, _)| !contender.is_ours()) {
        let whole = of(runs, *rival, |run| run.command);
        println!(
            "murder's swarm is {} as fast as {}{}",
            cell(seconds(*rival).map(|theirs| theirs / ours), 2, " x"),
            rival.name(),
            match whole.zip(command) {
                Some((theirs, ours)) => format!("; its whole command {:.1} x", theirs / ours),
                None => String::new(),
            },
        );
    }
    cpu_ratios(runs, Contender::Murder);
}

/// The rows for hosts on loopback.
pub(crate) fn loopback(runs: &Runs) {
    println!("| | last host has it | MB/s per CPU-second at receivers | CPU-s/GiB | most memory |");
    println!("|---|---|---|---|---|");
    for (contender, measured) in runs {
        println!(
            "| {} | {} | {} | {} | {} |",
            contender.name(),
            cell(median(measured, |run| Some(run.seconds)), 2, " s"),
            cell(median(measured, Measured::mb_per_cpu_second), 0, ""),
            cell(median(measured, Measured::cpu_per_gib), 2, ""),
            cell(median(measured, |run| run.peak.map(|peak| peak as f64 / f64::from(1 << 20))), 1, " MiB"),
        );
    }
    println!();
    cpu_ratios(runs, Contender::Engine);
    cpu_ratios(runs, Contender::EnginePlain);
}

fn cpu_ratios(runs: &Runs, ours: Contender) {
    let cpu = |contender| of(runs, contender, Measured::cpu_per_gib);
    let Some(own) = cpu(ours) else { return };
    for (rival, _) in runs.iter().filter(|(contender, _)| !contender.is_ours()) {
        if let Some(theirs) = cpu(*rival) {
            println!("CPU per GiB, {} / {}: {:.2}", ours.name(), rival.name(), own / theirs);
        }
    }
}
