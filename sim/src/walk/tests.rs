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

#[test]
fn hundreds_of_walks_deliver_what_the_model_says() {
    for seed in 0..300 {
        if let Err(failure) = delivery::walk(seed, Options::default()) {
            panic!("seed {seed}: {failure}");
        }
    }
}
