use crate::inventory::fold;

/// Host names in one line, as short as they can be said: `web[01-40] db1`.
pub fn fold_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    fold(&names.into_iter().collect::<Vec<_>>())
}
