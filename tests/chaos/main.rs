//! Faults times phases: what is thrown at a deployment, what must come of it, and what came of it, as tables.
//!
//! The first two tables are of the embedded demo fleet and need nothing. The third is of real hosts in network namespaces; it takes
//! root, iproute2 and an OpenSSH server, and says so where they are missing. An argument picks tables by a part of their names.
#![cfg(feature = "operator")]

#[cfg(test)]
mod fire;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod made_up;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod real;
#[cfg(test)]
#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod table;

/// A table and how it is filled.
#[cfg(test)]
type Suite = (&'static str, fn() -> table::Table);

#[cfg(test)]
fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return std::process::ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let suites: [Suite; 3] =
        [("made-up hosts", made_up::table), ("operators", operators::table), ("real hosts", real::table)];
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    // Together, for most of their time they wait.
    let good = std::thread::scope(|scope| {
        let filled = suites.map(|(name, suite)| (name, is_wanted(name).then(|| scope.spawn(suite))));
        let tables = filled.into_iter().filter_map(|(name, table)| Some((name, table?.join().unwrap())));
        tables.fold(true, |good, (name, table)| {
            println!("\nchaos: {name}\n{table}");
            good & table.is_good()
        })
    });
    if good { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
