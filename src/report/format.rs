use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Comparison, RunReport, html, json_report, markdown};

/// Form of a report, told by the end of its file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// `.md`: for tickets and job summaries.
    Markdown,
    /// `.html`: one file, with charts.
    Html,
    /// `.json`: one object, for programs.
    Json,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The name tells no format.
    #[error("cannot tell the format of the report {}: expected a name that ends in .md, .html or .json", .0.display())]
    Format(PathBuf),
    /// The file system refused.
    #[error("cannot write the report {}: {source}", path.display())]
    Io {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Looks whether a report can be written there, before anything is deployed.
///
/// # Errors
/// When the name tells no form, or its folder is not there.
pub fn check_report(path: &Path) -> Result<(), ReportError> {
    ReportFormat::of(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::read_dir(folder).map(drop).map_err(|source| ReportError::Io { path: path.to_owned(), source })
}

impl ReportFormat {
    /// The format of a file of that name. To be asked before anything is deployed.
    ///
    /// # Errors
    /// When its end is none of `.md`, `.html` and `.json`.
    pub fn of(path: &Path) -> Result<Self, ReportError> {
        match path.extension().and_then(|end| end.to_str()) {
            Some("md" | "markdown") => Ok(Self::Markdown),
            Some("html" | "htm") => Ok(Self::Html),
            Some("json") => Ok(Self::Json),
            _ => Err(ReportError::Format(path.to_owned())),
        }
    }

    /// A run in this form.
    pub fn render(self, run: &RunReport, before: Option<&Comparison>) -> String {
        match self {
            Self::Markdown => markdown::markdown(run, before),
            Self::Html => html::html(run, before),
            Self::Json => json_report::json(run, before),
        }
    }
}

/// Writes the report of a run, in the form that the file's name tells.
///
/// # Errors
/// When the name tells no form, or the file cannot be written.
pub fn write_report(path: &Path, run: &RunReport, before: Option<&Comparison>) -> Result<(), ReportError> {
    let text = ReportFormat::of(path)?.render(run, before);
    fs::write(path, text).map_err(|source| ReportError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_tells_the_form() {
        let of = |name: &str| ReportFormat::of(Path::new(name)).ok();
        assert_eq!(of("a/report.md"), Some(ReportFormat::Markdown));
        assert_eq!(of("r.html"), Some(ReportFormat::Html));
        assert_eq!(of("r.json"), Some(ReportFormat::Json));
        assert_eq!(of("report.pdf"), None);
        assert!(ReportFormat::of(Path::new("md")).unwrap_err().to_string().contains(".html"));
    }
}
