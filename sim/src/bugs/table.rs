//! What was measured, for people and for programs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Bug;
use super::judgement::{Judgement, Measured};
use super::measure::Finding;
use super::techniques::Techniques;
use crate::shrink::Size;

/// One bug and what was measured of it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub bug: Bug,
    /// What was measured.
    pub measured: Measured,
}

impl Row {
    /// What is said of it.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        Judgement::of(&self.measured, &self.bug.preamble.found_by)
    }

    fn verdict(&self) -> String {
        match self.judgement() {
            Judgement::Found => "found".into(),
            Judgement::NotFound(missed) => {
                format!("NOT FOUND from {missed} of {} starts", self.measured.starts.len())
            }
            Judgement::Unexplained(names) => {
                let names: Vec<String> = names.into_iter().collect();
                format!("NOT EXPLAINED by {}", names.join(", "))
            }
            Judgement::Broken(why) => format!("BROKEN: {why}"),
        }
    }

    fn cells(&self) -> [String; 6] {
        let explanations = self.measured.explanations().into_iter();
        let words: Vec<String> =
            explanations.map(|(name, times)| format!("{name} {times}")).collect();
        let median = self.measured.seeds_median();
        let (steps, clients) = match &self.measured.shrunk {
            Some(Ok(size)) => (size.steps.to_string(), size.clients.to_string()),
            Some(Err(_)) => ("?".into(), "?".into()),
            None => ("-".into(), "-".into()),
        };
        [
            self.bug.name.clone(),
            self.bug.preamble.race.clone(),
            median.map_or_else(|| "-".into(), |seeds| seeds.to_string()),
            steps,
            clients,
            if words.is_empty() { "-".into() } else { words.join(", ") },
        ]
    }
}

/// The table for people: what fired, and from how many starts.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let head = ["bug", "race", "seeds", "steps", "clients", "found by (starts)"];
    let mut lines: Vec<([String; 6], String)> = vec![(head.map(Into::into), "verdict".into())];
    lines.extend(rows.iter().map(|row| (row.cells(), row.verdict())));
    let width = |column: usize| lines.iter().map(|(cells, _)| cells[column].len()).max();
    let widths: Vec<usize> = (0..6).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (cells, verdict) in &lines {
        for (cell, width) in cells.iter().zip(&widths) {
            text.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(verdict);
        text.push('\n');
    }
    text
}

/// Seeds or walks until found, technique by technique; empty if none was measured.
#[must_use]
pub fn techniques(rows: &[Row]) -> String {
    let measured = rows.iter().filter_map(|row| Some((row, row.measured.techniques.as_ref()?)));
    let mut lines: Vec<Vec<String>> = measured
        .map(|(row, found)| [row.bug.name.clone()].into_iter().chain(found.cells()).collect())
        .collect();
    if lines.is_empty() {
        return String::new();
    }
    let head = ["bug"].into_iter().chain(Techniques::HEAD);
    lines.insert(0, head.map(ToOwned::to_owned).collect());
    let mut text = String::new();
    let width = |column: usize| lines.iter().map(|cells| cells[column].len()).max().unwrap_or(0);
    for cells in &lines {
        let padded = cells.iter().enumerate().map(|(at, cell)| format!("{cell:<0$}", width(at)));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Everything, as a page to be kept: `command` has made it.
#[must_use]
pub fn page(rows: &[Row], command: &str) -> String {
    let mut text = format!(
        "# Planted bugs, measured\n\nMade by `{command}`; [README.md](README.md) says what is what. \
         Seeds: of every\nordinary scenario until the first finding, the median over the starts. \
         Steps and clients: of that finding, shrunk.\n\n```text\n{}```\n",
        table(rows)
    );
    let techniques = techniques(rows);
    if !techniques.is_empty() {
        text.push_str(&format!(
            "\nSeeds, or walks, until found, from the first seed on and technique by technique. The \
             first three columns are\nsweeps in which more and more follows the seed; `>N`: not \
             within N; `?`: it could not be tried.\n\n```text\n{techniques}```\n"
        ));
    }
    text
}

/// What [`json`] has written of a bug, as far as it was measured.
#[derive(Deserialize)]
struct Read {
    bug: String,
    starts: Vec<Option<Finding>>,
    shrunk_steps: Option<usize>,
    shrunk_clients: Option<usize>,
    shrink_problem: Option<String>,
    techniques: Option<Techniques>,
}

/// What [`json`] has written, by the names of bugs: those that were found from each of at least so
/// many starts. What explains them is judged anew.
///
/// # Errors
///
/// Fails if it was not written by [`json`].
pub fn settled(text: &str, starts: u64) -> Result<BTreeMap<String, Measured>, String> {
    let rows: Vec<Read> =
        serde_json::from_str(text).map_err(|error| format!("no results of bugs: {error}"))?;
    let found = rows
        .into_iter()
        .filter(|row| row.starts.len() as u64 >= starts && row.starts.iter().all(Option::is_some));
    let measured = found.map(|row| {
        let size = row.shrunk_steps.zip(row.shrunk_clients);
        let size = size.map(|(steps, clients)| Ok(Size { clients, steps, ..Size::default() }));
        let shrunk = size.or_else(|| row.shrink_problem.map(Err));
        let (starts, techniques) = (row.starts, row.techniques);
        (row.bug, Measured { broken: None, starts, shrunk, techniques })
    });
    Ok(measured.collect())
}

#[derive(Serialize)]
struct Written<'a> {
    bug: &'a str,
    about: &'a str,
    race: &'a str,
    judgement: Judgement,
    seeds_median: Option<u64>,
    starts: &'a [Option<Finding>],
    shrunk_steps: Option<usize>,
    shrunk_clients: Option<usize>,
    shrink_problem: Option<&'a str>,
    unfound: Option<&'a str>,
    techniques: Option<&'a Techniques>,
}

/// The same for programs.
///
/// # Errors
///
/// Fails if it cannot be written down.
pub fn json(rows: &[Row]) -> Result<String, String> {
    let rows: Vec<Written<'_>> = rows
        .iter()
        .map(|row| {
            let size = row.measured.shrunk.as_ref().and_then(|shrunk| shrunk.as_ref().ok());
            let problem = row.measured.shrunk.as_ref().and_then(|shrunk| shrunk.as_ref().err());
            Written {
                bug: &row.bug.name,
                about: &row.bug.preamble.bug,
                race: &row.bug.preamble.race,
                judgement: row.judgement(),
                seeds_median: row.measured.seeds_median(),
                starts: &row.measured.starts,
                shrunk_steps: size.map(|size| size.steps),
                shrunk_clients: size.map(|size| size.clients),
                shrink_problem: problem.map(String::as_str),
                unfound: row.bug.preamble.unfound.as_deref(),
                techniques: row.measured.techniques.as_ref(),
            }
        })
        .collect();
    let text = serde_json::to_string_pretty(&rows).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bugs::preamble::Preamble;
    use crate::bugs::techniques::Reach;

    fn row(name: &str, measured: Measured) -> Row {
        let preamble = Preamble {
            bug: "It is broken.".into(),
            race: "RC-001".into(),
            found_by: ["check".to_owned()].into(),
            unfound: None,
        };
        Row { bug: Bug { name: name.into(), patch: "x.patch".into(), preamble }, measured }
    }

    fn found() -> Measured {
        let finding = Finding {
            file: "scenarios/a.yaml".into(),
            seed: 12,
            seeds: 12,
            explanation: "check".into(),
            text: "CRASHED".into(),
        };
        let size = Size { clients: 2, steps: 3, parts: 40 };
        Measured { starts: vec![Some(finding)], shrunk: Some(Ok(size)), ..Measured::default() }
    }

    #[test]
    fn the_table_is_aligned_and_says_what_is_wrong() {
        let missed = Measured { starts: vec![None], ..Measured::default() };
        let broken = Measured { broken: Some("it does not apply".into()), ..Measured::default() };
        let rows = [row("a_long_name", found()), row("b", missed), row("c", broken)];
        let expected = "\
bug          race    seeds  steps  clients  found by (starts)  verdict
a_long_name  RC-001  12     3      2        check 1            found
b            RC-001  -      -      -        -                  NOT FOUND from 1 of 1 starts
c            RC-001  -      -      -        -                  BROKEN: it does not apply
";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn the_table_of_techniques_has_those_that_were_measured() {
        let found = Techniques {
            network: Reach::NotWithin(100),
            task_order: Reach::After(12),
            yields: Reach::After(3),
            walk: Reach::Failed("it hangs".into()),
            delivery: Reach::After(1),
        };
        let with = Measured { techniques: Some(found), ..Measured::default() };
        let rows = [row("a", with), row("b", Measured::default())];
        let expected = "\
bug  network  + task order  + yield points  walk  walk --delivery
a    >100     12            3               ?     1
";
        assert_eq!(techniques(&rows), expected);
        assert_eq!(techniques(&rows[1..]), "");
        let page = page(&rows, "cargo sim bugs a b");
        assert!(page.contains("Made by `cargo sim bugs a b`") && page.contains(expected), "{page}");
    }

    #[test]
    fn what_was_written_settles_what_was_found() {
        let shrunk = |measured: &Measured| {
            let size = measured.shrunk.clone()?.ok()?;
            Some((size.steps, size.clients))
        };
        let techniques = Some(Techniques {
            network: Reach::NotWithin(20),
            task_order: Reach::After(1),
            yields: Reach::After(1),
            walk: Reach::Failed("it hangs".into()),
            delivery: Reach::After(9),
        });
        let whole = Measured { techniques, ..found() };
        let missed = Measured { starts: vec![None], ..Measured::default() };
        let large = Measured { shrunk: Some(Err("too slow".into())), ..found() };
        let broken = Measured { broken: Some("it does not apply".into()), ..Measured::default() };
        let rows =
            [row("a", whole.clone()), row("b", missed), row("c", large.clone()), row("d", broken)];
        let text = json(&rows).expect("it can be written");
        let settled = settled(&text, 1).expect("it can be read");
        assert_eq!(settled.keys().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(settled["a"].starts, whole.starts);
        assert_eq!(settled["a"].techniques, whole.techniques);
        assert_eq!(shrunk(&settled["a"]), Some((3, 2)));
        assert_eq!(settled["c"].shrunk, large.shrunk);
        assert!(super::settled(&text, 2).expect("it can be read").is_empty(), "one start each");
        assert!(super::settled("{}", 1).is_err());
    }

    #[test]
    fn programs_get_every_start() {
        let text = json(&[row("a", found())]).expect("it can be written");
        let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(value[0]["judgement"], "found");
        assert_eq!(value[0]["starts"][0]["seed"], 12);
        assert_eq!(value[0]["shrunk_steps"], 3);
    }
}
