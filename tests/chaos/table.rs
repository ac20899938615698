use std::fmt;

/// What was thrown at whom, what must come of it, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    skipped: Option<String>,
}

#[derive(Debug)]
struct Row {
    cells: [String; 4],
    good: bool,
}

const TITLES: [&str; 4] = ["fault", "phase", "expected", "seen"];

/// Characters of what was seen.
const MOST: usize = 110;

impl Table {
    /// Adds a row; it is good if what was seen is one of what is expected, by the start of the words.
    pub(crate) fn row(&mut self, fault: &str, phase: &str, expected: &[&str], seen: &str) {
        let good = expected.iter().any(|expected| seen.starts_with(expected));
        // What is wrong is shown whole.
        let most = if good { MOST } else { usize::MAX };
        let seen: String = seen.chars().take(most).collect();
        let cells = [fault, phase, &expected.join(" or "), &seen].map(str::to_owned);
        self.rows.push(Row { cells, good });
    }

    /// Adds a row of something that holds or does not.
    pub(crate) fn holds(&mut self, fault: &str, phase: &str, what: &str, result: Result<(), String>) {
        let seen = result.map_or_else(|problem| format!("no: {problem}"), |()| what.to_owned());
        self.row(fault, phase, &[what], &seen);
    }

    /// Adds the rows of another.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.rows.append(&mut other.rows);
    }

    /// It cannot be filled here.
    pub(crate) fn skipped(&mut self, why: &str) {
        self.skipped = Some(why.to_owned());
    }

    /// All came as it must.
    pub(crate) fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.good)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.skipped {
            return writeln!(f, "     skipped: {why}");
        }
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row.cells[column].as_str());
            cells.chain([TITLES[column]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2)];
        let mut line = |mark: &str, cells: [&str; 4]| {
            let [a, b, c] = widths;
            writeln!(f, "{mark:4} {:a$}  {:b$}  {:c$}  {}", cells[0], cells[1], cells[2], cells[3])
        };
        line("", TITLES)?;
        for Row { cells, good } in &self.rows {
            line(if *good { "ok" } else { "BAD" }, cells.each_ref().map(String::as_str))?;
        }
        Ok(())
    }
}
