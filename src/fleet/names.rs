/// Host names in one line, as short as they can be said.
pub fn fold_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    crate::inventory::fold(&names.into_iter().collect::<Vec<_>>())
}
