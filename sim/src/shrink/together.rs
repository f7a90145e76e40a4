//! What can only go together: steps that stand for each other, or only for the time that they take.

use crate::plan::tree::{Key, Node};

/// Of more clients no pairs are tried.
const CLIENTS_MAX: usize = 8;
/// What may take the place of a step: so many milliseconds until the next one.
const DELAYS_MS: [u64; 3] = [2, 6, 20];

/// The changed nodes of a tree.
pub type Changes = Vec<(Vec<Key>, Node)>;

/// Trees with fewer steps.
pub fn fewer(tree: &Node) -> Vec<Changes> {
    let clients = Client::all(tree);
    let mut candidates = pairs(tree, &clients);
    candidates.extend(everybodys(&clients));
    for client in &clients {
        candidates.extend(client.without_a_connection(tree));
        candidates.extend(client.merged());
        candidates.extend(client.waiting_instead());
    }
    candidates
}

struct Client<'a> {
    at: usize,
    name: &'a Node,
    actions: &'a [Node],
}

/// Two clients less. One alone may be missed only because others come to sit elsewhere.
fn pairs(tree: &Node, clients: &[Client<'_>]) -> Vec<Changes> {
    let list = vec![field("clients")];
    let (Some(Node::List(all)), 3..=CLIENTS_MAX) = (tree.at(&list), clients.len()) else {
        return Vec::new();
    };
    let pairs = (0..all.len()).flat_map(|one| (one + 1..all.len()).map(move |other| [one, other]));
    let without = |pair: [usize; 2]| {
        let left = all.iter().enumerate().filter(|(at, _)| !pair.contains(at));
        vec![(list.clone(), Node::List(left.map(|(_, client)| client.clone()).collect()))]
    };
    pairs.map(without).collect()
}

/// A step less for all clients that take the same one at the same place.
fn everybodys(clients: &[Client<'_>]) -> Vec<Changes> {
    let mut candidates = Vec::new();
    let mut seen: Vec<(usize, &Node)> = Vec::new();
    for client in clients {
        for (step, action) in client.actions.iter().enumerate() {
            let Some(what) = action.at(&[field("action")]) else { continue };
            if seen.contains(&(step, what)) {
                continue;
            }
            seen.push((step, what));
            let does = |client: &&Client<'_>| {
                client.actions.get(step).and_then(|action| action.at(&[field("action")]))
                    == Some(what)
            };
            let all: Vec<_> = clients.iter().filter(does).collect();
            if all.len() > 1 {
                candidates.push(all.iter().map(|client| client.without(step)).collect());
            }
        }
    }
    candidates
}

impl<'a> Client<'a> {
    fn all(tree: &'a Node) -> Vec<Self> {
        let Some(Node::List(clients)) = tree.at(&[field("clients")]) else { return Vec::new() };
        let client = |(at, client): (usize, &'a Node)| {
            let name = client.at(&[field("name")])?;
            let Some(Node::List(actions)) = client.at(&[field("actions")]) else { return None };
            Some(Self { at, name, actions })
        };
        clients.iter().enumerate().filter_map(client).collect()
    }

    fn doing(&self, actions: Vec<Node>) -> (Vec<Key>, Node) {
        let path = vec![field("clients"), Key::Item(self.at), field("actions")];
        (path, Node::List(actions))
    }

    fn without(&self, step: usize) -> (Vec<Key>, Node) {
        let mut actions = self.actions.to_vec();
        actions.remove(step);
        self.doing(actions)
    }

    /// A connection less, where what befalls a later one is told by its number.
    fn without_a_connection(&self, tree: &Node) -> Vec<Changes> {
        let Some(Node::List(struck)) = tree.at(&[field("faults"), field("connections")]) else {
            return Vec::new();
        };
        let earlier: Changes = (0..struck.len())
            .filter(|at| struck[*at].at(&[field("of"), field("client")]) == Some(self.name))
            .filter_map(|at| match struck[at].at(&[field("number")]) {
                Some(Node::Number(number @ 2..)) => {
                    let path = [field("faults"), field("connections"), Key::Item(at)];
                    let path = path.into_iter().chain([field("number")]).collect();
                    Some((path, Node::Number(number - 1)))
                }
                Some(_) | None => None,
            })
            .collect();
        if earlier.is_empty() {
            return Vec::new();
        }
        let connect = Node::Text("connect".into());
        let is_one = |step: &usize| self.actions[*step].at(&[field("action")]) == Some(&connect);
        let without = |step| earlier.iter().cloned().chain([self.without(step)]).collect();
        (0..self.actions.len()).filter(is_one).map(without).collect()
    }

    /// Two requests of a kind, one behind the other, that become one.
    fn merged(&self) -> Vec<Changes> {
        let mut candidates = Vec::new();
        for kind in ["subscribe", "unsubscribe"] {
            let path = [field("action"), field("send"), field(kind)];
            for step in 1..self.actions.len() {
                let entries = |step: usize| match self.actions[step].at(&path) {
                    Some(Node::List(entries)) => Some(entries),
                    _ => None,
                };
                let (Some(first), Some(second)) = (entries(step - 1), entries(step)) else {
                    continue;
                };
                let new = second.iter().filter(|entry| !first.contains(entry));
                let both = Node::List(first.iter().chain(new).cloned().collect());
                let mut actions = self.actions.to_vec();
                if let Some(entries) = actions[step - 1].at_mut(&path) {
                    *entries = both;
                }
                actions.remove(step);
                candidates.push(vec![self.doing(actions)]);
            }
        }
        candidates
    }

    /// A step less, and what follows it so much later.
    fn waiting_instead(&self) -> Vec<Changes> {
        let later = |step: usize, delay_ms: u64| {
            let mut actions = self.actions.to_vec();
            actions.remove(step);
            for action in &mut actions[step..] {
                if let Some(Node::Number(at_ms)) = action.at_mut(&[field("at_ms")]) {
                    *at_ms += delay_ms;
                }
            }
            vec![self.doing(actions)]
        };
        // Behind the last one nobody waits.
        let steps = 0..self.actions.len().saturating_sub(1);
        steps.flat_map(|step| DELAYS_MS.map(|delay_ms| later(step, delay_ms))).collect()
    }
}

fn field(name: &str) -> Key {
    Key::Field(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each candidate leaves of the plan, as text.
    fn left(text: &str) -> Vec<String> {
        let tree: Node = serde_json::from_str(text).expect("it is a tree");
        let after = |changes: Changes| {
            let mut tree = tree.clone();
            for (path, node) in changes {
                *tree.at_mut(&path).expect("it is there") = node;
            }
            serde_json::to_string(&tree).expect("it can be written")
        };
        fewer(&tree).into_iter().map(after).collect()
    }

    #[test]
    fn clients_go_in_pairs() {
        let client = |name| format!(r#"{{"name":"{name}","actions":[]}}"#);
        let [a, b, c] = ["a", "b", "c"].map(client);
        let plan = |clients: &str| format!(r#"{{"clients":[{clients}]}}"#);
        assert_eq!(
            left(&plan(&[a.clone(), b.clone(), c.clone()].join(","))),
            [plan(&c), plan(&b), plan(&a)]
        );
        assert_eq!(left(&plan(&[a, b].join(","))), [""; 0], "one of two goes by itself");
    }

    #[test]
    fn what_all_do_goes_from_all() {
        let plan = |steps: &str| {
            let client = |name| format!(r#"{{"name":"{name}","actions":[{steps}]}}"#);
            format!(r#"{{"clients":[{},{}]}}"#, client("a"), client("b"))
        };
        let (connect, ping) = (r#"{"action":"connect"}"#, r#"{"action":"ping"}"#);
        let found = left(&plan(&format!("{connect},{ping}")));
        assert_eq!(found[..2], [plan(ping), plan(connect)]);
    }

    #[test]
    fn a_connection_goes_with_the_number_of_what_befalls_a_later_one() {
        let plan = |steps: &str, number: u64| {
            format!(
                r#"{{"clients":[{{"name":"a","actions":[{steps}]}}],"faults":{{"connections":["#
            ) + &format!(r#"{{"of":{{"client":"a"}},"number":{number}}}]}}}}"#)
        };
        let connect = r#"{"action":"connect"}"#;
        let found = left(&plan(&format!("{connect},{connect}"), 2));
        assert_eq!(found[0], plan(connect, 1));
        let found = left(&plan(connect, 1));
        assert_eq!(found, [""; 0], "the first is the first");
    }

    #[test]
    fn requests_are_put_together_and_steps_become_time() {
        let plan = |steps: &str| format!(r#"{{"clients":[{{"name":"a","actions":[{steps}]}}]}}"#);
        let subscribe = |at_ms: u64, topics: &str| {
            format!(r#"{{"at_ms":{at_ms},"action":{{"send":{{"subscribe":[{topics}]}}}}}}"#)
        };
        let (one, other) = (subscribe(5, r#""A","B""#), subscribe(7, r#""B","C""#));
        let found = left(&plan(&format!("{one},{other}")));
        assert_eq!(found[0], plan(&subscribe(5, r#""A","B","C""#)));
        let later = |ms| plan(&subscribe(7 + ms, r#""B","C""#));
        assert_eq!(found[1..], DELAYS_MS.map(later));
    }
}
