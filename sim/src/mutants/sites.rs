//! What stands at the places of a source that mutants name.

use std::collections::BTreeMap;
use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Bytes of a source.
pub type Bytes = Range<usize>;

/// An operator between two operands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The operator.
    pub operator: Bytes,
    /// The operand on its left.
    pub left: Bytes,
    /// The operand on its right.
    pub right: Bytes,
    /// It stands in a chain with a `let`, whose names hold behind it: no part of such a chain can
    /// become an expression of its own.
    pub is_chained: bool,
}

/// An operator in front of its operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unary {
    /// The operator.
    pub operator: Bytes,
    /// The operand.
    pub operand: Bytes,
}

/// An arm of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Where its pattern ends, without the guard.
    pub pattern_end: usize,
    /// Its guard.
    pub guard: Option<Bytes>,
    /// A later arm takes whatever this one leaves.
    pub is_covered: bool,
}

/// A field of a struct expression that has a base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// `name` alone, for `name: name`.
    pub is_short: bool,
    /// Its value.
    pub value: Bytes,
    /// The base.
    pub base: Bytes,
}

/// Everything in a source that can be mutated, by where it begins.
#[derive(Debug, Default)]
pub struct Sites {
    /// By the operator.
    pub binaries: BTreeMap<usize, Binary>,
    /// By the operator.
    pub unaries: BTreeMap<usize, Unary>,
    /// By the pattern.
    pub arms: BTreeMap<usize, Arm>,
    /// By the field.
    pub fields: BTreeMap<usize, Field>,
    /// The `const` of functions.
    pub consts: Vec<Bytes>,
}

impl Sites {
    /// Reads a source.
    ///
    /// # Errors
    ///
    /// Fails if it is not Rust.
    pub fn of(source: &str) -> Result<Self, String> {
        let file = syn::parse_file(source).map_err(|error| format!("not Rust: {error}"))?;
        let mut sites = Self::default();
        sites.visit_file(&file);
        Ok(sites)
    }
}

/// Whether an operand is a `let`, or a chain with one.
fn binds(operand: &syn::Expr) -> bool {
    match operand {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(inner) => binds(&inner.left) || binds(&inner.right),
        _ => false,
    }
}

fn bytes(at: &impl Spanned) -> Bytes {
    at.span().byte_range()
}

impl<'ast> Visit<'ast> for Sites {
    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        let operator = bytes(&node.op);
        let (left, right) = (bytes(&node.left), bytes(&node.right));
        let is_chained = binds(&node.left) || binds(&node.right);
        self.binaries.insert(operator.start, Binary { operator, left, right, is_chained });
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast syn::ExprUnary) {
        let operator = bytes(&node.op);
        self.unaries.insert(operator.start, Unary { operator, operand: bytes(&node.expr) });
        visit::visit_expr_unary(self, node);
    }

    fn visit_expr_match(&mut self, node: &'ast syn::ExprMatch) {
        let takes_all = |arm: &syn::Arm| matches!(arm.pat, syn::Pat::Wild(_));
        for (number, arm) in node.arms.iter().enumerate() {
            let (pattern, guard) = match &arm.pat {
                syn::Pat::Guard(guarded) => (bytes(&guarded.pat), Some(bytes(&guarded.guard))),
                pattern => (bytes(pattern), None),
            };
            let is_covered = node.arms.iter().skip(number + 1).any(takes_all);
            let found = Arm { pattern_end: pattern.end, guard, is_covered };
            self.arms.insert(bytes(arm).start, found);
        }
        visit::visit_expr_match(self, node);
    }

    fn visit_expr_struct(&mut self, node: &'ast syn::ExprStruct) {
        if let Some(base) = &node.rest {
            for field in &node.fields {
                let syn::Member::Named(name) = &field.member else { continue };
                let field = (
                    bytes(field).start,
                    Field {
                        name: name.to_string(),
                        is_short: field.colon_token.is_none(),
                        value: bytes(&field.expr),
                        base: bytes(base),
                    },
                );
                self.fields.extend([field]);
            }
        }
        visit::visit_expr_struct(self, node);
    }

    fn visit_signature(&mut self, node: &'ast syn::Signature) {
        self.consts.extend(node.constness.iter().map(bytes));
        visit::visit_signature(self, node);
    }
}
