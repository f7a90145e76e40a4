//! Builds programs that hold the mutants, and finds those that do not compile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use super::VARIABLE;
use super::diagnostics::{Complaint, complaints, programs};
use super::list::Mutant;
use super::rewrite::{Rewritten, alone, rewrite, without_const};
use crate::bugs::measure::run_to_end;
use crate::bugs::scratch::Scratch;

/// Tests of the engine besides those beside its code. Those of `growth` measure time: on a busy
/// machine they would blame anybody.
const TESTS: &str = "engine";
/// They are built once and run hundreds of times.
const QUICK_TO_RUN: [&str; 3] = [
    "profile.dev.debug=0",
    "profile.dev.package.tickgate.debug=0",
    "profile.dev.package.tickgate.opt-level=1",
];
/// Whoever is found not to compile is taken out, and the compiler goes further: so often at most.
const ROUNDS_MAX: usize = 20;

/// Programs with the mutants in them.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The simulator.
    pub simulator: PathBuf,
    /// Tests of the engine; the first also has others.
    pub tests: Vec<PathBuf>,
    /// Where they are to be started.
    pub tree: PathBuf,
}

/// What the compiler says of a constant function that calls one which is not.
const CALLS_WHAT_IS_NOT_CONSTANT: &str = "error[E0015]";

/// Names the switch, in the copy.
const LIBRARY: &str = "src/lib.rs";

/// Where programs are built. The workspace is copied once: it may change while this goes on.
#[derive(Debug)]
pub struct Workshop<'a> {
    scratch: &'a Scratch,
    library: String,
    sources: BTreeMap<String, String>,
}

/// Mutants that are written into the copy, and those that are not.
#[derive(Debug, Default)]
pub struct Planted {
    /// By file.
    files: BTreeMap<String, Rewritten>,
    /// Those that did not compile together with others.
    pub refused: BTreeSet<u32>,
    /// Those that could not be written, and why.
    pub left_out: Vec<(u32, String)>,
}

impl<'a> Workshop<'a> {
    /// Reads the sources that the mutants are of.
    ///
    /// # Errors
    ///
    /// Fails if one cannot be read, or if the copy cannot be made.
    pub fn open(scratch: &'a Scratch, mutants: &[Mutant]) -> Result<Self, String> {
        scratch.restore()?;
        let mut sources = BTreeMap::new();
        for file in mutants.iter().map(|mutant| &mutant.file) {
            if !sources.contains_key(file) {
                sources.insert(file.clone(), read(scratch, file)?);
            }
        }
        Ok(Self { scratch, library: read(scratch, LIBRARY)?, sources })
    }

    /// Writes mutants into the copy, without those that do not compile.
    ///
    /// # Errors
    ///
    /// Fails if the compiler complains about something else.
    pub fn plant(&self, mutants: &[Mutant], turn: &mut dyn FnMut()) -> Result<Planted, String> {
        self.write("src/living_mutant.rs", &switch())?;
        let library = &self.library;
        self.write(LIBRARY, &format!("{library}\n/// Mutants.\npub mod living_mutant;\n"))?;
        let opaque = mutants.iter().filter(|mutant| mutant.is_opaque);
        let mut refused: BTreeSet<u32> = opaque.map(|mutant| mutant.number).collect();
        for _ in 0..ROUNDS_MAX {
            let planted = self.write_all(mutants, &refused)?;
            let (blamed, freed) = self.refused(&planted, turn)?;
            if blamed.is_empty() && !freed {
                refused.extend(&planted.refused);
                return Ok(Planted { refused, ..planted });
            }
            refused.extend(blamed);
        }
        Err(format!("after {ROUNDS_MAX} rounds there are still mutants that do not compile"))
    }

    fn write_all(&self, mutants: &[Mutant], without: &BTreeSet<u32>) -> Result<Planted, String> {
        let mut planted = Planted::default();
        for (file, source) in &self.sources {
            let of_file = mutants.iter().filter(|mutant| mutant.file == *file);
            let of_file = of_file.filter(|mutant| !without.contains(&mutant.number));
            let mut rewritten = rewrite(source, &of_file.collect::<Vec<_>>())
                .map_err(|problem| format!("{file}: {problem}"))?;
            planted.left_out.append(&mut rewritten.left_out);
            planted.refused.extend(rewritten.alone.iter().copied());
            self.write(file, &rewritten.text)?;
            planted.files.insert(file.clone(), rewritten);
        }
        Ok(planted)
    }

    /// Those that the compiler complains about, and whether it is helped otherwise.
    fn refused(
        &self,
        planted: &Planted,
        turn: &mut dyn FnMut(),
    ) -> Result<(BTreeSet<u32>, bool), String> {
        let (mut blamed, mut freed) = (BTreeSet::new(), false);
        for complaint in self.check(turn)? {
            let mut guilty = complaint.places.iter().map(|(file, bytes)| {
                planted.files.get(file).map(|file| file.blamed(bytes)).unwrap_or_default()
            });
            match guilty.find(|guilty| !guilty.is_empty()) {
                Some(guilty) => blamed.extend(guilty),
                None if self.free(&complaint)? => freed = true,
                None => return Err(format!("no mutant explains this:\n{}", complaint.words)),
            }
        }
        Ok((blamed, freed))
    }

    /// With mutants in it no function of the engine is constant any more, so none that calls one
    /// can be. Says whether that was what the compiler complained about.
    fn free(&self, complaint: &Complaint) -> Result<bool, String> {
        let Some((file, bytes)) = complaint.places.first() else { return Ok(false) };
        if !complaint.words.starts_with(CALLS_WHAT_IS_NOT_CONSTANT) || self.is_mutated(file) {
            return Ok(false);
        }
        match without_const(&read(self.scratch, file)?, bytes.start)? {
            Some(text) => self.write(file, &text).map(|()| true),
            None => Ok(false),
        }
    }

    fn is_mutated(&self, file: &str) -> bool {
        self.sources.contains_key(file)
    }

    /// Whether a mutant compiles if it is the only one. It stays in the copy.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be tried.
    pub fn compiles_alone(&self, mutant: &Mutant, turn: &mut dyn FnMut()) -> Result<bool, String> {
        self.write(LIBRARY, &self.library)?;
        for (file, source) in &self.sources {
            self.write(file, source)?;
        }
        let source = self.sources.get(&mutant.file).ok_or("the source is not known")?;
        self.write(&mutant.file, &alone(source, mutant)?)?;
        Ok(self.check(turn)?.is_empty())
    }

    fn check(&self, turn: &mut dyn FnMut()) -> Result<Vec<Complaint>, String> {
        let mut command = self.scratch.cargo("check");
        command.args(["--profile", "sim", "--package", "tickgate", "--lib"]);
        let (good, said, errors) = self.run(&mut command, turn)?;
        let complaints = complaints(&said);
        if good || !complaints.is_empty() {
            return Ok(complaints);
        }
        Err(format!("cargo cannot check the copy: {}", errors.trim()))
    }

    /// Builds what is written in the copy.
    ///
    /// # Errors
    ///
    /// Fails with the compiler's words.
    pub fn build(&self, turn: &mut dyn FnMut()) -> Result<Programs, String> {
        let mut build = self.scratch.cargo("build");
        build.args(["--profile", "sim", "--package", "tickgate-sim", "--bin", "tickgate-sim"]);
        let mut simulator = self.built(&mut build, false, turn)?;
        let (_, simulator) = simulator.pop().ok_or("the simulator was not built")?;
        let tests = self.build_tests(turn)?;
        Ok(Programs { simulator, tests, tree: self.scratch.tree() })
    }

    /// Builds only the engine's tests.
    ///
    /// # Errors
    ///
    /// Fails with the compiler's words.
    pub fn build_tests(&self, turn: &mut dyn FnMut()) -> Result<Vec<PathBuf>, String> {
        let mut test = self.scratch.cargo("test");
        test.args(["--no-run", "--package", "tickgate", "--lib", "--test", TESTS]);
        test.args(QUICK_TO_RUN.iter().flat_map(|setting| ["--config", setting]));
        let mut tests = self.built(&mut test, true, turn)?;
        // Those beside the code are the quicker ones.
        tests.sort_by_key(|(name, _)| name == TESTS);
        if tests.len() != 2 {
            return Err(format!("not all tests were built: {tests:?}"));
        }
        Ok(tests.into_iter().map(|(_, program)| program).collect())
    }

    fn built(
        &self,
        command: &mut Command,
        tests: bool,
        turn: &mut dyn FnMut(),
    ) -> Result<Vec<(String, PathBuf)>, String> {
        let (good, said, errors) = self.run(command, turn)?;
        if good {
            return Ok(programs(&said, tests));
        }
        let words = complaints(&said).into_iter().map(|complaint| complaint.words);
        let words = words.take(3).collect::<Vec<_>>().join("\n");
        Err(format!("the copy cannot be built:\n{words}{}", errors.trim()))
    }

    fn run(
        &self,
        command: &mut Command,
        turn: &mut dyn FnMut(),
    ) -> Result<(bool, String, String), String> {
        let (out, err) = (self.scratch.file("cargo.json"), self.scratch.file("cargo.log"));
        let broken = |error: std::io::Error| format!("cannot run cargo: {error}");
        command.args(["--message-format", "json"]);
        command.stdout(File::create(&out).map_err(broken)?);
        command.stderr(File::create(&err).map_err(broken)?);
        let status = run_to_end(command, None, turn)?;
        let read =
            |path| std::fs::read(path).map(|said| String::from_utf8_lossy(&said).into_owned());
        Ok((status.success(), read(&out).map_err(broken)?, read(&err).map_err(broken)?))
    }

    fn write(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.scratch.tree().join(file);
        // What is equal need not be built again.
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        std::fs::write(&path, text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}

fn read(scratch: &Scratch, file: &str) -> Result<String, String> {
    let path = scratch.tree().join(file);
    std::fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// What the mutants ask whether they live. The environment is read once.
#[must_use]
pub fn switch() -> String {
    format!(
        "//! Which mutant lives.\n\n\
         static LIVING: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {{\n    \
             std::env::var(\"{VARIABLE}\").ok().and_then(|word| word.parse().ok()).unwrap_or(0)\n\
         }});\n\n\
         /// Whether it is this one.\n\
         #[inline]\n\
         pub fn is(number: u32) -> bool {{\n    *LIVING == number\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_test_of_the_engine_is_forgotten() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests");
        let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("it is there");
        let judging = read(&PathBuf::from(format!("{directory}/{TESTS}.rs")));
        let mut forgotten = BTreeSet::new();
        for file in std::fs::read_dir(directory).expect("the tests are there").flatten() {
            let path = file.path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = read(&path);
            let drives = ["tickgate::engine", "crate::hub_support"];
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            if drives.iter().any(|it| text.contains(it))
                && !judging.contains(&format!("\nmod {name};\n"))
            {
                forgotten.insert(name);
            }
        }
        assert_eq!(forgotten, BTreeSet::from(["growth".to_owned()]));
    }
}
