use std::fmt::Write as _;

use super::text::clean;

/// GitHub shows at most ten errors of a step.
const ANNOTATIONS: usize = 10;

/// The CI system that reads the output, and understands commands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ci {
    /// None that we know.
    #[default]
    None,
    /// GitHub Actions: groups and annotations.
    GitHub,
    /// GitLab: sections that fold.
    GitLab,
}

impl Ci {
    /// Found by the variables that these systems set; `env` looks one up.
    pub fn detect(env: impl Fn(&str) -> Option<String>) -> Self {
        let is_true = |name| env(name).is_some_and(|value| value == "true");
        match () {
            () if is_true("GITHUB_ACTIONS") => Self::GitHub,
            () if is_true("GITLAB_CI") => Self::GitLab,
            () => Self::None,
        }
    }

    /// Opens the fold that holds the lines of the run. `at` is milliseconds since the epoch.
    pub(super) fn open(self, title: &str, at: u64) -> String {
        match self {
            Self::None => String::new(),
            Self::GitHub => format!("::group::{}\n", escape(title, false)),
            Self::GitLab => {
                format!("\u{1b}[0Ksection_start:{}:murder\r\u{1b}[0K{}\n", at / 1000, clean(title))
            }
        }
    }

    /// Closes it.
    pub(super) fn close(self, at: u64) -> String {
        match self {
            Self::None => String::new(),
            Self::GitHub => "::endgroup::\n".to_owned(),
            Self::GitLab => format!("\u{1b}[0Ksection_end:{}:murder\r\u{1b}[0K\n", at / 1000),
        }
    }

    /// Errors that the system shows beside the job: titles and texts, the gravest first.
    pub(super) fn errors(self, errors: &[(String, String)]) -> String {
        let mut text = String::new();
        if self == Self::GitHub {
            for (title, message) in errors.iter().take(ANNOTATIONS) {
                let _ = writeln!(text, "::error title={}::{}", escape(title, true), escape(message, false));
            }
        }
        text
    }

    /// A line with words of a host in it, so that the system takes none of them for a command. GitHub's older form is
    /// found anywhere in a line; the newer one at its start only, where there is never a word of a host.
    pub(super) fn disarm(self, line: String) -> String {
        if self == Self::GitHub && line.contains("##[") { line.replace("##[", "# #[") } else { line }
    }
}

fn escape(text: &str, property: bool) -> String {
    let escaped = clean(text).replace('%', "%25");
    if property { escaped.replace(':', "%3A").replace(',', "%2C") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_found_by_their_variables() {
        for (name, value, ci) in [
            ("GITHUB_ACTIONS", "true", Ci::GitHub),
            ("GITLAB_CI", "true", Ci::GitLab),
            ("GITHUB_ACTIONS", "false", Ci::None),
            ("CI", "true", Ci::None),
        ] {
            assert_eq!(Ci::detect(|wanted| (wanted == name).then(|| value.to_owned())), ci, "{name}={value}");
        }
    }

    #[test]
    fn a_message_cannot_break_out_of_its_annotation() {
        let error = ("a, b: 50 %".to_owned(), "one\n::add-mask::x %0A".to_owned());
        assert_eq!(Ci::GitHub.errors(&[error]), "::error title=a%2C b%3A 50 %25::one ::add-mask::x %250A\n");
        assert_eq!(Ci::GitHub.disarm("x ##[set-env]".to_owned()), "x # #[set-env]");
    }
}
