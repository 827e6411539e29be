//! Variants: the same question in other words.
//!
//! An *axis* is something that the image-spec leaves free, or says twice: how a name is spelled, in which
//! header family an entry is written, how a layer is compressed. A *variant* is an authored case with one
//! axis set to one value, and its right answer is the case's own: a converter that answers otherwise is
//! wrong without anybody having decided a tree (a metamorphic relation). So a variant has no golden.
//!
//! Each value carries the place of the spec that makes the answer the same, and how binding that is; a
//! variant is as binding as the weaker of case and value. What may not be varied is left out, with a reason:
//! see [`LeftOut`]. Axes that change only how an image is packed apply to every case with a verdict; those
//! that change entries apply to cases with one tree, since names and order are what the others are about.
//!
//! Variants are made from cases and nothing else: no tar, no model, no random choice.

mod axes;
mod layers;
mod left_out;
mod names;
mod order;
mod packing;
mod parents;
mod path;
mod split;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use bstr::BString;

pub use axes::AXES;
pub use left_out::LeftOut;

use super::{Case, Edit, Expect, Layer, Level};

/// What stands between a case's id and the axis in a variant's.
const MARK: char = '@';

/// Something the spec leaves free.
#[derive(Debug)]
pub struct Axis {
    /// One word, as in `case@axis=value`.
    pub name: &'static str,
    /// Whether entries change, or only how they are packed.
    pub of_entries: bool,
    /// What it can be set to.
    pub values: &'static [Value],
}

/// One way to set an axis.
#[derive(Debug)]
pub struct Value {
    /// One word, as in `case@axis=value`.
    pub name: &'static str,
    /// What it does to the image, behind "with".
    pub does: &'static str,
    /// The place that makes the tree the same.
    pub spec: &'static str,
    /// Its words; empty where the spec is silent.
    pub quote: &'static str,
    /// How binding they are.
    pub level: Level,
    make: fn(&[Layer]) -> Result<Made, LeftOut>,
}

/// What a value makes of a case's layers.
#[derive(Default)]
struct Made {
    layers: Vec<Layer>,
    edits: Vec<Edit>,
    unnamed: BTreeSet<BString>,
}

impl From<Vec<Layer>> for Made {
    fn from(layers: Vec<Layer>) -> Made {
        Made {
            layers,
            ..Made::default()
        }
    }
}

/// A case with one axis set to one value.
#[derive(Debug, Clone)]
pub struct Variant {
    /// The axis.
    pub axis: &'static str,
    /// The value.
    pub value: &'static str,
    /// The case, as `<case>@<axis>=<value>`.
    pub case: Case,
    /// The directories that the case names and the variant does not: everything about them is open.
    pub unnamed: BTreeSet<BString>,
}

/// Every value of every axis on a case, in the order of [`AXES`]: the variant, or why there is none.
pub fn variants(
    case: &Case,
) -> impl Iterator<Item = (&'static Axis, &'static Value, Result<Variant, LeftOut>)> {
    let values = AXES
        .iter()
        .flat_map(|axis| axis.values.iter().map(move |value| (axis, value)));
    values.map(move |(axis, value)| (axis, value, variant(case, axis, value)))
}

/// A case with one axis set to one value.
///
/// # Errors
///
/// Why there is no such variant of this case.
pub fn variant(
    case: &Case,
    axis: &'static Axis,
    value: &'static Value,
) -> Result<Variant, LeftOut> {
    // Between nested indexes and the manifest stand descriptors that an axis does not know of.
    let is_nested = case.image.nested > 0;
    if !case.image.edits.is_empty() || !case.image.blobs.is_empty() || is_nested {
        return Err(LeftOut::Damaged);
    }
    if case.layers.iter().any(|layer| layer.format.is_erofs()) {
        return Err(LeftOut::NotTar);
    }
    match &case.expect {
        Expect::Tree => {}
        Expect::Record { .. } => return Err(LeftOut::NoVerdict),
        _ if axis.of_entries => return Err(LeftOut::NotOneTree),
        _ => {}
    }
    let id = format!("{}{MARK}{}={}", case.id, axis.name, value.name);
    let (mut varied, unnamed) = set(case, id.clone(), value)?;
    if let Expect::Reject { because, twin } = &case.expect {
        // The twin is the same image without the offence, so it is varied alike, where it can be.
        let twin = match set(twin, format!("{id}+twin"), value) {
            Ok((twin, _)) => twin,
            Err(_) => Case {
                id: format!("{id}+twin"),
                ..(**twin).clone()
            },
        };
        varied.expect = Expect::Reject {
            because: because.clone(),
            twin: Box::new(twin),
        };
    }
    Ok(Variant {
        axis: axis.name,
        value: value.name,
        case: varied,
        unnamed,
    })
}

fn set(case: &Case, id: String, value: &Value) -> Result<(Case, BTreeSet<BString>), LeftOut> {
    let made = (value.make)(&case.layers)?;
    if made.layers == case.layers && made.edits.is_empty() {
        return Err(LeftOut::Same);
    }
    let mut varied = Case {
        id,
        title: format!("{}; with {}", case.title, value.does),
        level: case.level.max(value.level),
        layers: made.layers,
        ..case.clone()
    };
    varied.image.edits = made.edits;
    let colon = if value.quote.is_empty() { "" } else { ": " };
    let why = format!(
        "The tree is the case's own by {}{colon}{}",
        value.spec, value.quote
    );
    varied.note = match varied.note {
        Some(note) => Some(format!("{note} {why}")),
        None => Some(why),
    };
    Ok((varied, made.unnamed))
}

/// Why an id names no variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoVariant {
    /// No such axis or value.
    #[error("no variant `{0}`; there are {all}", all = all_values())]
    Unknown(String),
    /// There is one, but not for this case.
    #[error("the case has no variant `{0}`: {reason}", reason = .1.words())]
    LeftOut(String, LeftOut),
}

/// The variant of a case by the part of its id behind the mark, `axis=value`.
///
/// # Errors
///
/// An axis or value that does not exist, or that does not apply to this case.
pub fn named(case: &Case, setting: &str) -> Result<Variant, NoVariant> {
    let found = AXES.iter().find_map(|axis| {
        let value = setting.strip_prefix(axis.name)?.strip_prefix('=')?;
        let value = axis.values.iter().find(|known| known.name == value)?;
        Some((axis, value))
    });
    let (axis, value) = found.ok_or_else(|| NoVariant::Unknown(setting.to_owned()))?;
    variant(case, axis, value).map_err(|reason| NoVariant::LeftOut(setting.to_owned(), reason))
}

/// Splits an id into that of the authored case and, for a variant's, `axis=value`.
pub fn split_id(id: &str) -> (&str, Option<&str>) {
    match id.split_once(MARK) {
        Some((case, setting)) => (case, Some(setting)),
        None => (id, None),
    }
}

impl Case {
    /// The id of the authored case: the case's own, or that of the case it is a variant of. Goldens and
    /// known failures go by it.
    pub fn origin(&self) -> &str {
        split_id(&self.id).0
    }
}

fn all_values() -> String {
    let values = AXES.iter().flat_map(|axis| {
        axis.values
            .iter()
            .map(move |value| format!("{}={}", axis.name, value.name))
    });
    values.collect::<Vec<_>>().join(", ")
}
