//! One file and one seed, as most commands want them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum as _;

use super::without::Without;
use super::{complain, load};
use crate::plan::{NetworkKind, Plan};
use crate::playable::Playable;

#[derive(Debug, clap::Args)]
pub(super) struct Chosen {
    /// The scenario, or a plan that `cargo sim plan` or `cargo sim shrink` has written
    pub file: PathBuf,
    /// The seed; default: 1, or the seed of the plan
    #[arg(long)]
    seed: Option<u64>,
    /// The network that carries the bytes; default: what the file says
    #[arg(long, value_enum)]
    network: Option<NetworkKind>,
    #[command(flatten)]
    without: Without,
}

impl Chosen {
    /// What is to be played.
    pub fn plan(&self) -> Result<Plan, ExitCode> {
        let playable = load(&self.file)?;
        let seed = self.seed.unwrap_or(playable.first_seed());
        let mut plan = playable
            .plan(seed)
            .map_err(|problem| complain(&format!("{}: {problem}", self.file.display())))?;
        plan.network.kind = self.network.unwrap_or(plan.network.kind);
        self.without.apply(&mut plan);
        Ok(plan)
    }

    /// The file, and the seed if it needs one, ready to be pasted.
    pub fn shown(&self, seed: u64) -> String {
        shown(&self.file, load(&self.file).ok().as_ref(), seed, self.network, &self.without)
    }
}

/// `FILE --seed N`, ready to be pasted; a plan needs no seed.
pub(super) fn shown(
    file: &Path,
    playable: Option<&Playable>,
    seed: u64,
    network: Option<NetworkKind>,
    without: &Without,
) -> String {
    let mut words = quoted(&file.display().to_string());
    if playable.and_then(Playable::only_seed).is_none() {
        words.push_str(&format!(" --seed {seed}"));
    }
    if let Some(network) = network {
        words.push_str(&format!(" --network {}", name_of(network)));
    }
    words + &without.words()
}

/// A network as the command line spells it.
pub(super) fn name_of(network: NetworkKind) -> String {
    network.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
}

/// The commands that take a failure apart, ready to be pasted.
pub(super) fn next_commands(chosen: &str) -> [String; 3] {
    ["replay", "shrink", "report"].map(|command| format!("cargo sim {command} {chosen}"))
}

/// A word that a shell takes as it is.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_a_strange_name_can_be_pasted_too() {
        let all = Without::default();
        assert_eq!(shown(Path::new("a/b-1.yaml"), None, 7, None, &all), "a/b-1.yaml --seed 7");
        assert_eq!(shown(Path::new("it's.yaml"), None, 7, None, &all), r"'it'\''s.yaml' --seed 7");
        let turmoil = shown(Path::new("a.yaml"), None, 7, Some(NetworkKind::Turmoil), &all);
        assert_eq!(turmoil, "a.yaml --seed 7 --network turmoil");
    }
}
