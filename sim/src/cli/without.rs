//! Leaving techniques out, to see what each is worth.

use clap::ValueEnum as _;

use crate::plan::Plan;
use crate::runtime::TaskOrder;

/// A technique that reaches interleavings which the network alone does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Technique {
    /// The seed decides which ready task runs; without it: first in, first out
    TaskOrder,
    /// A read or write that could go on lets other tasks go first
    Yields,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(super) struct Without {
    /// Leave techniques out, whatever the file says: to see what each is worth
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TECHNIQUE")]
    without: Vec<Technique>,
}

impl Without {
    /// Leaves them out of a plan.
    pub fn apply(&self, plan: &mut Plan) {
        for technique in &self.without {
            match technique {
                Technique::TaskOrder => plan.task_order = TaskOrder::None,
                Technique::Yields => plan.yield_share = 0.0,
            }
        }
    }

    /// As the command line has it, with a blank before it; empty if nothing is left out.
    pub fn words(&self) -> String {
        let values = self.without.iter().filter_map(Technique::to_possible_value);
        let names: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
        if names.is_empty() { String::new() } else { format!(" --without {}", names.join(",")) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::playable::Playable;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        without: Without,
    }

    fn parse(words: &str) -> Without {
        let words = std::iter::once("sim").chain(words.split_whitespace());
        Line::try_parse_from(words).expect("it is good").without
    }

    #[test]
    fn what_is_left_out_is_left_out_of_the_plan_and_said_again() {
        let text = "about: A.\nworld:\n  duration_ms: 9\n  users: [{ name: alice }]\n  \
                    task_order: { jitter: 0.5 }\n  yield_share: 0.3\n";
        let plan = Playable::parse("a.yaml", text).expect("it is good").plan(1).expect("any seed");
        let left = |words: &str| {
            let mut plan = plan.clone();
            parse(words).apply(&mut plan);
            (plan.task_order == TaskOrder::None, plan.yield_share == 0.0)
        };
        assert_eq!(left(""), (false, false));
        assert_eq!(left("--without task-order"), (true, false));
        assert_eq!(left("--without yields"), (false, true));
        assert_eq!(left("--without yields,task-order"), (true, true));
        for words in ["", " --without yields", " --without task-order,yields"] {
            assert_eq!(parse(words).words(), words);
        }
    }
}
