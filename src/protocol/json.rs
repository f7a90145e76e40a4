//! JSON text: writing it, and judging it before it is parsed.
