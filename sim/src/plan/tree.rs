//! A plan as a tree of lists, maps and scalars that knows no field by name.
//!
//! It keeps fields in their order. What prints plans and what shrinks them works on it, so that a
//! list or a field that is added to the plan needs nothing here.

use std::fmt;

use indexmap::IndexMap;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Plan;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Number(u64),
    /// A number with a fraction.
    Fraction(f64),
    /// Words.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the fields.
    Map(IndexMap<String, Node>),
}

/// One step from a node to one of its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Of a list.
    Item(usize),
    /// Of a map.
    Field(String),
}

impl Node {
    /// The tree of a plan, or of a part of one.
    ///
    /// # Errors
    ///
    /// Fails if it holds something that is neither list, map nor scalar.
    pub fn of(value: &impl Serialize) -> Result<Self, String> {
        let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// The plan of a tree; it may make no sense.
    ///
    /// # Errors
    ///
    /// Fails if a field is missing, unknown or of the wrong kind.
    pub fn to_plan(&self) -> Result<Plan, String> {
        let text = serde_json::to_string(self).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// The node at the end of a path, if there is one.
    #[must_use]
    pub fn at(&self, path: &[Key]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| match (node, key) {
            (Self::List(items), Key::Item(at)) => items.get(*at),
            (Self::Map(fields), Key::Field(name)) => fields.get(name),
            _ => None,
        })
    }

    /// As [`Node::at`], to be changed.
    pub fn at_mut(&mut self, path: &[Key]) -> Option<&mut Self> {
        path.iter().try_fold(self, |node, key| match (node, key) {
            (Self::List(items), Key::Item(at)) => items.get_mut(*at),
            (Self::Map(fields), Key::Field(name)) => fields.get_mut(name),
            _ => None,
        })
    }

    /// Every node with its path, parents before their children.
    pub fn walk(&self, visit: &mut impl FnMut(&[Key], &Self)) {
        self.walk_from(&mut Vec::new(), visit);
    }

    fn walk_from(&self, path: &mut Vec<Key>, visit: &mut impl FnMut(&[Key], &Self)) {
        visit(path, self);
        match self {
            Self::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    path.push(Key::Item(at));
                    item.walk_from(path, visit);
                    path.pop();
                }
            }
            Self::Map(fields) => {
                for (name, field) in fields {
                    path.push(Key::Field(name.clone()));
                    field.walk_from(path, visit);
                    path.pop();
                }
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Fraction(_) | Self::Text(_) => {}
        }
    }

    /// How many scalars it holds, itself included.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::List(items) => items.iter().map(Self::size).sum::<usize>() + 1,
            Self::Map(fields) => fields.values().map(Self::size).sum::<usize>() + 1,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Fraction(_) | Self::Text(_) => 1,
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => serializer.serialize_u64(*value),
            Self::Fraction(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, field)| map.serialize_entry(name, field))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, a map or a scalar")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Fraction(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut fields = IndexMap::new();
        while let Some((name, field)) = access.next_entry()? {
            fields.insert(name, field);
        }
        Ok(Node::Map(fields))
    }
}
