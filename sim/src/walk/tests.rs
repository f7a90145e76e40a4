//! The walk itself.

use super::*;

#[test]
fn hundreds_of_walks_agree_with_the_model() {
    for seed in 0..400 {
        if let Err(failure) = walk(seed, Options::default()) {
            panic!("seed {seed}: {failure}");
        }
    }
}
