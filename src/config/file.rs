//! The configuration file: TOML with sections.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::draft::{Draft, Written};
use super::problem::{Place, nearest};
use super::schema::{self, ARRAYS};
use super::value::Given;

/// Reads `text` into `draft`; `path` is for the problems alone.
pub(super) fn read(path: &str, text: &str, draft: &mut Draft) {
    let file = File { path, text };
    match DeTable::parse(text) {
        Ok(table) => file.document(table.get_ref(), draft),
        Err(error) => {
            let place = file.place(error.span().map_or(0, |span| span.start));
            draft.problem(place, error.message().lines().collect::<Vec<_>>().join(", "));
        }
    }
}

struct File<'a> {
    path: &'a str,
    text: &'a str,
}

impl File<'_> {
    fn place(&self, offset: usize) -> Place {
        Place::in_file(self.path, self.text, offset)
    }

    fn document(&self, document: &DeTable<'_>, draft: &mut Draft) {
        for (section, value) in document {
            let place = self.place(section.span().start);
            let section = &**section.get_ref();
            if let Some(array) = ARRAYS.iter().find(|array| **array == section) {
                self.entries(array, value, draft);
            } else if !schema::sections().contains(&section) {
                draft.problem(place, unknown_section(section, value.get_ref()));
            } else if let DeValue::Table(table) = value.get_ref() {
                self.section(section, table, draft);
            } else {
                draft.problem(place, not_a_section(section, value.get_ref()));
            }
        }
    }

    fn section(&self, section: &str, table: &DeTable<'_>, draft: &mut Draft) {
        for (name, value) in table {
            let set = draft.set(section, name.get_ref(), self.place(value.span().start), |_| {
                Given::from_toml(value.get_ref())
            });
            if !set {
                let message = unknown_key(section, &format!("[{section}]"), name.get_ref());
                draft.problem(self.place(name.span().start), message);
            }
        }
    }

    fn entries(&self, array: &str, value: &Spanned<DeValue<'_>>, draft: &mut Draft) {
        let place = self.place(value.span().start);
        let DeValue::Array(entries) = value.get_ref() else {
            let message = format!("`{array}` is a list: write [[{array}]], with double brackets");
            draft.problem(place, message);
            return;
        };
        for (index, entry) in entries.iter().enumerate() {
            let place = self.place(entry.span().start);
            draft.add(array, place.clone());
            let DeValue::Table(table) = entry.get_ref() else {
                let given = Given::from_toml(entry.get_ref());
                draft.problem(place, format!("`{array}.{index}` must be a table, got {given}"));
                continue;
            };
            for (name, value) in table {
                let place = self.place(value.span().start);
                let written = Written::File(value.get_ref());
                if !draft.set_entry((array, index), name.get_ref(), place, written) {
                    let message = unknown_key(array, &format!("[[{array}]]"), name.get_ref());
                    draft.problem(self.place(name.span().start), message);
                }
            }
        }
    }
}

fn not_a_section(section: &str, value: &DeValue<'_>) -> String {
    if !has_tables(value) {
        let given = Given::from_toml(value);
        return format!("`{section}` is a section, write [{section}]; got {given}");
    }
    let hint = if section == "broker" { "; did you mean [[brokers]]?" } else { "" };
    format!("[{section}] is one section, write it with single brackets{hint}")
}

fn has_tables(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|items| items.iter().any(|item| item.get_ref().is_table()))
}

fn unknown_section(section: &str, value: &DeValue<'_>) -> String {
    let what = match value {
        DeValue::Table(_) => format!("there is no section [{section}]"),
        list if has_tables(list) => format!("there is no section [[{section}]]"),
        _ => format!("there is no key `{section}` outside the sections"),
    };
    let hint = match (nearest(section, schema::sections()), home_of(section)) {
        (Some(near), _) if ARRAYS.contains(&near) => format!("did you mean [[{near}]]?"),
        (Some(near), _) => format!("did you mean [{near}]?"),
        (None, Some(home)) => format!("did you mean `{section}` in {home}?"),
        (None, None) => format!("the sections are {}", schema::sections().join(", ")),
    };
    format!("{what}; {hint}")
}

fn unknown_key(section: &str, shown: &str, name: &str) -> String {
    let names = schema::names(section);
    let hint = match (home_of(name), nearest(name, names.iter().copied())) {
        (Some(home), _) => format!("did you mean `{name}` in {home}?"),
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) => format!("its keys are {}", names.join(", ")),
    };
    format!("there is no key `{name}` in {shown}; {hint}")
}

/// The first section that has a key of exactly this name.
fn home_of(name: &str) -> Option<String> {
    schema::sections().into_iter().find(|section| schema::names(section).contains(&name)).map(
        |section| {
            let is_array = ARRAYS.contains(&section);
            if is_array { format!("[[{section}]]") } else { format!("[{section}]") }
        },
    )
}
