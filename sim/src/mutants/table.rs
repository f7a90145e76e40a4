//! What became of the mutants, for people and for programs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Fate;
use super::explained::Explained;
use super::judge::{Caught, How, Judge};
use super::list::Mutant;

/// A mutant and what became of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub mutant: Mutant,
    /// What became of it.
    pub fate: Fate,
}

impl Row {
    fn place(&self) -> String {
        format!("{}:{}", self.mutant.file, self.mutant.start.line)
    }
}

/// How many there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Mutants that compile.
    pub viable: usize,
    /// Those of them that were caught.
    pub caught: usize,
    /// Those of them that survived.
    pub survived: usize,
    /// Mutants that do not compile.
    pub not_viable: usize,
    /// Mutants that could not be judged. They count as viable: nobody has caught them.
    pub not_tried: usize,
}

impl Sums {
    /// Counts.
    #[must_use]
    pub fn of(rows: &[Row]) -> Self {
        let mut sums = Self::default();
        for row in rows {
            match &row.fate {
                Fate::Caught(_) => sums.caught += 1,
                Fate::Survived => sums.survived += 1,
                Fate::NotViable => sums.not_viable += 1,
                Fate::NotTried(_) => sums.not_tried += 1,
            }
        }
        sums.viable = sums.caught + sums.survived + sums.not_tried;
        sums
    }

    /// Of the viable ones, caught.
    #[must_use]
    pub fn percent(&self) -> f64 {
        self.caught as f64 * 100.0 / self.viable.max(1) as f64
    }
}

/// Survivors, and those that were not tried, that nobody has explained.
#[must_use]
pub fn unexplained<'a>(rows: &'a [Row], explained: &Explained) -> Vec<&'a Row> {
    let is_open = |row: &&Row| match row.fate {
        Fate::Survived | Fate::NotTried(_) => explained.of(&row.mutant.label).is_none(),
        Fate::Caught(_) | Fate::NotViable => false,
    };
    rows.iter().filter(is_open).collect()
}

/// In a few lines: how many were caught, and by whom.
#[must_use]
pub fn summary(rows: &[Row]) -> String {
    let sums = Sums::of(rows);
    let mut text = format!(
        "{} of {} viable mutants caught ({:.1} %), {} survived, {} not tried; {} do not compile\n",
        sums.caught,
        sums.viable,
        sums.percent(),
        sums.survived,
        sums.not_tried,
        sums.not_viable
    );
    for judge in Judge::ALL {
        let of = |how: Option<How>| {
            let caught = rows.iter().filter_map(|row| match &row.fate {
                Fate::Caught(caught) if caught.by == judge => Some(caught),
                Fate::Caught(_) | Fate::Survived | Fate::NotViable | Fate::NotTried(_) => None,
            });
            caught.filter(|caught| how.is_none_or(|how| caught.how == how)).count()
        };
        let (late, crashed) = (of(Some(How::TimedOut)), of(Some(How::Crashed)));
        let (all, word) = (of(None), judge.word());
        text.push_str(&format!(
            "{word:<16} {all:>4}, of which {late} did not end and {crashed} were ended\n"
        ));
    }
    text
}

/// Everything, as a page to be kept: `command` has made it.
#[must_use]
pub fn page(rows: &[Row], explained: &Explained, command: &str) -> String {
    let mut text = format!(
        "# Mutants of the engine, measured\n\nMade by `{command}`;\n[README.md](README.md) says \
         what is what. Each mutant counts for the first judge that notices it.\n\n```text\n{}```\n",
        summary(rows)
    );
    let mut reasons: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        if let Fate::Survived | Fate::NotTried(_) = row.fate {
            let reason = explained.of(&row.mutant.label).unwrap_or("Nobody knows why");
            reasons.entry(reason).or_default().push(row);
        }
    }
    if !reasons.is_empty() {
        text.push_str("\n## Survivors\n");
    }
    for (reason, rows) in reasons {
        text.push_str(&format!("\n{reason}:\n\n"));
        for row in rows {
            let not_tried = match &row.fate {
                Fate::NotTried(why) => format!(" (not tried: {why})"),
                Fate::Caught(_) | Fate::Survived | Fate::NotViable => String::new(),
            };
            text.push_str(&format!("- `{}`{not_tried}\n", row.mutant.label));
        }
    }
    text
}

#[derive(Serialize)]
struct Written<'a> {
    mutant: &'a str,
    place: String,
    fate: &'static str,
    caught: Option<Caught>,
    reason: Option<&'a str>,
}

/// The same for programs, mutant by mutant.
///
/// # Errors
///
/// Fails if it cannot be written down.
pub fn json(rows: &[Row], explained: &Explained) -> Result<String, String> {
    let written = rows.iter().map(|row| {
        let mutant = row.mutant.label.as_str();
        let (fate, caught, reason) = match &row.fate {
            Fate::Caught(caught) => ("caught", Some(*caught), None),
            Fate::Survived => ("survived", None, explained.of(mutant)),
            Fate::NotViable => ("not_viable", None, None),
            Fate::NotTried(why) => ("not_tried", None, Some(why.as_str())),
        };
        Written { mutant, place: row.place(), fate, caught, reason }
    });
    let written: Vec<Written<'_>> = written.collect();
    serde_json::to_string_pretty(&written)
        .map(|text| text + "\n")
        .map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Read {
    mutant: String,
    fate: String,
    caught: Option<Caught>,
}

/// What is settled by what [`json`] has written, by the mutants' labels: who was caught stays
/// caught as long as tests are only added, and who does not compile never will.
///
/// # Errors
///
/// Fails if it was not written by [`json`].
pub fn settled(text: &str) -> Result<BTreeMap<String, Fate>, String> {
    let rows: Vec<Read> =
        serde_json::from_str(text).map_err(|error| format!("no results of mutants: {error}"))?;
    let settled = rows.into_iter().filter_map(|row| {
        let fate = match (row.fate.as_str(), row.caught) {
            ("not_viable", None) => Fate::NotViable,
            ("caught", Some(caught)) => Fate::Caught(caught),
            (_, _) => return None,
        };
        Some((row.mutant, fate))
    });
    Ok(settled.collect())
}

/// The line for a mutant that nobody has noticed.
#[must_use]
pub fn line(row: &Row) -> String {
    let what = match &row.fate {
        Fate::Caught(caught) => format!("caught by {}", caught.by.word()),
        Fate::Survived => "SURVIVED".into(),
        Fate::NotViable => "does not compile".into(),
        Fate::NotTried(why) => format!("NOT TRIED ({why})"),
    };
    format!("{what}: {} (line {})", row.mutant.label, row.mutant.start.line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::list::{Genre, Place};

    fn row(label: &str, fate: Fate) -> Row {
        let place = Place { line: 3, column: 1 };
        let (file, replacement) = ("a.rs".to_owned(), String::new());
        let label = label.to_owned();
        let genre = Genre::FnValue;
        let (start, end, is_opaque) = (place, place, false);
        let mutant = Mutant { number: 1, label, file, genre, start, end, replacement, is_opaque };
        Row { mutant, fate }
    }

    fn rows() -> Vec<Row> {
        let caught = |by, how| Fate::Caught(Caught { by, how });
        vec![
            row("a", caught(Judge::Tests, How::Failed)),
            row("b", caught(Judge::Sweep, How::TimedOut)),
            row("c", Fate::Survived),
            row("d", Fate::Survived),
            row("e", Fate::NotViable),
        ]
    }

    #[test]
    fn what_does_not_compile_does_not_count() {
        let sums = Sums::of(&rows());
        assert_eq!((sums.viable, sums.caught, sums.survived), (4, 2, 2));
        assert!((sums.percent() - 50.0).abs() < f64::EPSILON);
        let summary = summary(&rows());
        assert!(summary.starts_with("2 of 4 viable mutants caught (50.0 %), 2 survived"));
        assert!(summary.contains("sweep               1, of which 1 did not end"), "{summary}");
    }

    #[test]
    fn survivors_are_shown_under_their_reasons_and_the_rest_is_open() {
        let explained = Explained::parse("It is the same:\n  c\n").expect("it is good");
        let rows = rows();
        let open = unexplained(&rows, &explained);
        assert_eq!(open.iter().map(|row| row.mutant.label.as_str()).collect::<Vec<_>>(), ["d"]);
        let page = page(&rows, &explained, "cargo sim mutants");
        assert!(page.contains("\nIt is the same:\n\n- `c`\n"), "{page}");
        assert!(page.contains("\nNobody knows why:\n\n- `d`\n"), "{page}");
        let json = json(&rows, &explained).expect("it can be written");
        let value: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(value[1]["caught"]["how"], "timed_out");
        assert_eq!(value[2]["reason"], "It is the same");
        let settled = settled(&json).expect("it was just written");
        assert_eq!(settled.keys().collect::<Vec<_>>(), ["a", "b", "e"]);
        assert_eq!(settled["b"], rows[1].fate);
    }
}
