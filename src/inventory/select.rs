use super::{Expr, Host};
use crate::text::{Mistake, TextError, did_you_mean};

/// Why hosts could not be selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// The expression is none.
    #[error(transparent)]
    Syntax(Box<TextError>),
    /// It names what is not in the inventory.
    #[error(transparent)]
    Unknown(Box<TextError>),
}

/// The hosts that match `limit`, all without one, less those that match `exclude`, in the order in which they are given. A
/// plain name in an expression that is neither host nor group is an error: a slip must not widen or narrow a deployment.
pub fn select(hosts: &[Host], limit: Option<&str>, exclude: Option<&str>) -> Result<Vec<Host>, SelectError> {
    let limit = limit.map(|text| read("--limit", text, hosts)).transpose()?;
    let exclude = exclude.map(|text| read("--exclude", text, hosts)).transpose()?;
    let chosen = |host: &&Host| {
        limit.as_ref().is_none_or(|expr| expr.matches(host))
            && !exclude.as_ref().is_some_and(|expr| expr.matches(host))
    };
    Ok(hosts.iter().filter(chosen).cloned().collect())
}

/// The places of the hosts that match an expression which the option `name` gave, by the rules of [`select`].
pub fn matching(hosts: &[Host], name: &str, text: &str) -> Result<Vec<usize>, SelectError> {
    let expr = read(name, text, hosts)?;
    Ok(hosts.iter().enumerate().filter(|(_, host)| expr.matches(host)).map(|(place, _)| place).collect())
}

fn read(name: &str, text: &str, hosts: &[Host]) -> Result<Expr, SelectError> {
    let place = |mistake| Box::new(TextError::in_argument(name, text, 0, mistake));
    let expr = Expr::parse(text).map_err(|mistake| SelectError::Syntax(place(mistake)))?;
    for atom in expr.atoms() {
        let known =
            || hosts.iter().flat_map(|host| host.groups.iter().chain([&host.name]).map(String::as_str));
        let unknown = match &atom.label {
            Some(label) if !hosts.iter().any(|host| host.label(label).is_some()) => {
                let labels =
                    hosts.iter().flat_map(|host| host.labels.keys().map(String::as_str)).chain(["rack"]);
                Some((format!("no host has a label `{label}`"), did_you_mean(label, labels)))
            }
            None if atom.is_plain() && !hosts.iter().any(|host| atom.matches(host)) => {
                let headline = format!("no host or group is called `{}`", atom.text);
                Some((headline, did_you_mean(&atom.text, known())))
            }
            _ => None,
        };
        if let Some((headline, help)) = unknown {
            let mistake = Mistake::new(&atom.text, headline).maybe_help(help);
            return Err(SelectError::Unknown(place(mistake)));
        }
    }
    Ok(expr)
}
