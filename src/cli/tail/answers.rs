//! What becomes of the subscribe requests of one connection.

use super::Trouble;

/// Refusals that are listed if nothing at all is granted: whoever comes back is told each time.
const LISTED_MAX: usize = 10;

/// How many requests are not answered yet, and what the others came to.
#[derive(Debug, Default)]
pub(in crate::cli) struct Answers {
    outstanding: usize,
    done: usize,
    failed: Vec<String>,
}

impl Answers {
    /// A request was sent.
    pub(in crate::cli) const fn asked(&mut self) {
        self.outstanding += 1;
    }

    /// A request was answered: so many subscriptions were granted, and why others were not. Has
    /// refusals told as soon as something is granted, and says whether it is.
    ///
    /// # Errors
    ///
    /// Fails if all requests are answered and nothing was granted: such a connection is worth
    /// nothing.
    pub(in crate::cli) fn came(
        &mut self,
        done: usize,
        failed: impl IntoIterator<Item = String>,
        mut tell: impl FnMut(&str),
    ) -> Result<bool, Trouble> {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.done += done;
        self.failed.extend(failed);
        if self.done == 0 && self.outstanding > 0 {
            return Ok(false);
        }
        let mut failed = std::mem::take(&mut self.failed);
        if self.done > 0 {
            failed.iter().for_each(|reason| tell(reason));
            return Ok(true);
        }
        if failed.len() == 1 {
            return Err(Trouble::Passing(failed.remove(0)));
        }
        failed.iter().take(LISTED_MAX).for_each(|reason| tell(reason));
        let sentence = format!("none of the {} symbols could be subscribed", failed.len());
        Err(Trouble::Passing(sentence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(answers: &mut Answers, done: usize, failed: &[String]) -> (Option<bool>, Vec<String>) {
        let mut told = Vec::new();
        let granted = answers.came(done, failed.to_vec(), |reason| told.push(reason.to_owned()));
        match granted {
            Ok(granted) => (Some(granted), told),
            Err(Trouble::Passing(reason) | Trouble::Lasting(reason)) => {
                told.push(reason);
                (None, told)
            }
            Err(Trouble::Output(error)) => panic!("{error}"),
        }
    }

    fn asked(requests: usize) -> Answers {
        let mut answers = Answers::default();
        (0..requests).for_each(|_| answers.asked());
        answers
    }

    #[test]
    fn a_connection_is_judged_when_something_is_granted() {
        let [a, b, c] = ["a", "b", "c"].map(str::to_owned);
        let mut answers = asked(3);
        assert_eq!(came(&mut answers, 0, std::slice::from_ref(&a)), (Some(false), Vec::new()));
        assert_eq!(came(&mut answers, 1, std::slice::from_ref(&b)), (Some(true), vec![a, b]));
        assert_eq!(
            came(&mut answers, 0, std::slice::from_ref(&c)),
            (Some(true), vec![c]),
            "as before"
        );
    }

    #[test]
    fn a_connection_on_which_nothing_is_granted_is_worth_nothing() {
        let reasons: Vec<String> = (0..200).map(|number| format!("reason {number}")).collect();
        assert_eq!(came(&mut asked(1), 0, &reasons[..1]), (None, vec!["reason 0".to_owned()]));
        let mut answers = asked(2);
        assert_eq!(came(&mut answers, 0, &reasons), (Some(false), Vec::new()));
        let (granted, told) = came(&mut answers, 0, &reasons);
        assert_eq!((granted, told.len()), (None, LISTED_MAX + 1));
        assert_eq!(told[LISTED_MAX], "none of the 400 symbols could be subscribed");
    }
}
