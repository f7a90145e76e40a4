//! A sweep's state on disk, so that it can be killed at any moment and go on where it was.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::tally::Tally;
use super::work::{StoryId, Work};

/// Of the format of the file.
const VERSION: u32 = 2;

/// Where the state is kept, and what it belongs to.
pub struct Journal {
    path: PathBuf,
    header: Header,
}

/// What must be the same, or results would be mixed that do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    /// Of the program that plays.
    build: String,
    from: u64,
    seeds: u64,
    /// Techniques that are left out, as the command line has them.
    #[serde(default)]
    without: String,
    stories: Vec<StoryId>,
}

#[derive(Serialize)]
struct Written<'a> {
    header: &'a Header,
    tally: &'a Tally,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    header: Header,
    tally: Tally,
}

impl Journal {
    /// Opens the state of this sweep, and reads how far it had come if it was begun.
    pub fn open(path: &Path, work: &Work, from: u64, seeds: u64) -> Result<(Self, Tally), String> {
        let stories = work.stories().iter().map(super::work::Story::id).collect();
        let without = work.without.words();
        let header = Header { version: VERSION, build: build()?, from, seeds, without, stories };
        let journal = Self { path: path.to_owned(), header };
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                journal.write(&Tally::default())?;
                return Ok((journal, Tally::default()));
            }
            Err(error) => return Err(format!("cannot read {shown}: {error}")),
        };
        let read: Read = serde_json::from_str(&text)
            .map_err(|error| format!("{shown} is not the state of a sweep: {error}"))?;
        if let Some(difference) = journal.header.difference(&read.header) {
            return Err(format!(
                "{shown} belongs to another sweep: {difference}. Give the same arguments, or \
                 remove it to begin anew"
            ));
        }
        if !read.tally.done.ends_before(work.total()) {
            return Err(format!("{shown} is not the state of a sweep: it names unknown seeds"));
        }
        Ok((journal, read.tally))
    }

    /// Replaces the state on disk: a reader finds the old one or the new one, whole.
    pub fn write(&self, tally: &Tally) -> Result<(), String> {
        let text = serde_json::to_string(&Written { header: &self.header, tally });
        let text = text.map_err(|error| error.to_string())?;
        write_whole(&self.path, text.as_bytes())
    }
}

/// Writes a file beside the old one and puts it in its place.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|error| format!("cannot write {}: {error}", path.display()))
}

impl Header {
    fn difference(&self, found: &Self) -> Option<String> {
        if found.version != self.version {
            return Some(format!("it has format {}, not {}", found.version, self.version));
        }
        if found.build != self.build {
            return Some("another build of the program has played its seeds".into());
        }
        if (found.from, found.seeds) != (self.from, self.seeds) {
            return Some(format!("it has {} seeds from {} on", found.seeds, found.from));
        }
        if found.without != self.without {
            return Some(format!("it was begun with other techniques, `{}`", found.without.trim()));
        }
        let names = |header: &Self| -> Vec<String> {
            header.stories.iter().map(|story| story.file.clone()).collect()
        };
        if names(found) != names(self) {
            return Some(format!("its files are {}", names(found).join(" ")));
        }
        let changed = found.stories.iter().zip(&self.stories).find(|(old, new)| old != new);
        changed.map(|(_, new)| format!("{} has changed since", new.file))
    }
}

/// What tells this program from one that may play differently.
fn build() -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let bytes = std::fs::read(program).map_err(|error| error.to_string())?;
    Ok(format!("{:016x}", xxh3_64(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let stories = vec![StoryId { file: "a.yaml".into(), hash: "1".into() }];
        Header {
            version: VERSION,
            build: "b".into(),
            from: 1,
            seeds: 10,
            without: String::new(),
            stories,
        }
    }

    #[test]
    fn results_that_do_not_belong_together_are_told_apart() {
        assert_eq!(header().difference(&header()), None);
        let said = |change: fn(&mut Header)| {
            let mut found = header();
            change(&mut found);
            header().difference(&found).expect("they differ")
        };
        assert!(said(|found| found.version = 0).contains("format 0"));
        assert!(said(|found| found.build = "c".into()).contains("another build"));
        assert!(said(|found| found.seeds = 9).contains("9 seeds from 1"));
        let without = said(|found| found.without = " --without yields".into());
        assert!(without.contains("`--without yields`"));
        assert!(said(|found| found.stories[0].file = "b.yaml".into()).contains("b.yaml"));
        assert!(said(|found| found.stories[0].hash = "2".into()).contains("a.yaml has changed"));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.json");
        write_whole(&path, b"old").expect("it can be written");
        write_whole(&path, b"new").expect("it can be written");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"new");
        let files = std::fs::read_dir(directory.path()).expect("it is there").count();
        assert_eq!(files, 1, "nothing is left beside it");
        let nowhere = write_whole(Path::new("/no/such/place"), b"x").expect_err("there is none");
        assert!(nowhere.starts_with("cannot write /no/such/place: "));
    }
}
