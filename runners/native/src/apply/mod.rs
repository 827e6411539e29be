//! Layer changesets applied one after another: layer.md#applying-changesets.
//!
//! The order of entries inside a layer decides only what tar decides by it: the last of two entries
//! with one name stands. Whiteouts hide what lower layers brought, wherever they come in the layer.
//!
//! One pass over each layer does that, but for one thing: a whiteout may take away a symbolic link
//! that earlier entries of its layer went through. Such an image is begun again, and each layer is then
//! read twice, the first time for its whiteouts.

mod hide;
mod place;
mod refusal;

use self::hide::Moment;
use self::refusal::Refusal;
use std::sync::atomic::AtomicBool;

use crate::Summary;
use crate::error::{Cause, Error};
use crate::layout::{Image, Layer, Layout};
use crate::limits;
use crate::name::Target;
use crate::sink::Sink;
use crate::stream::{self, Streams};
use crate::tar::{Entry, Kind, Reader};
use crate::tree::{LayerNumber, Tree};

/// When a layer's whiteouts are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whiteouts {
    /// As they come.
    InOrder,
    /// Before everything else.
    First,
}

/// Why an image was not applied.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It must be applied again with [`Whiteouts::First`].
    Again,
    Error(Error),
}

/// What is to be applied.
pub(crate) struct Work<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) image: &'a Image,
    pub(crate) stop: Option<&'a AtomicBool>,
}

/// Applies all layers of an image and completes the output.
pub(crate) fn image<S: Sink>(
    work: &Work<'_>,
    sink: S,
    whiteouts: Whiteouts,
) -> Result<Summary, Failure> {
    let Work {
        layout,
        image,
        stop,
    } = work;
    let times = match whiteouts {
        Whiteouts::InOrder => 1,
        Whiteouts::First => 2,
    };
    let repeated = |layer: &Layer| std::iter::repeat_n(layer.clone(), times);
    let read: Vec<_> = image.layers.iter().flat_map(repeated).collect();
    let applied = stream::run(layout, &read, *stop, |streams| {
        let mut applier = Applier::new(sink, whiteouts);
        for (layer, number) in image.layers.iter().zip(1..) {
            applier.layer(layer, number, &streams)?;
        }
        applier.finish(image.layers.len())
    });
    applied.map_err(|e| Error::io("start a thread for", layout.path(), e))?
}

struct Applier<S: Sink> {
    tree: Tree<S::Record>,
    sink: S,
    whiteouts: Whiteouts,
    layer: LayerNumber,
    /// Whiteouts of the layer that wait for its end.
    deferred: Held,
    entries: u64,
    bytes: u64,
    xattr_bytes: u64,
}

/// Names of whiteouts, up to a limit.
#[derive(Default)]
struct Held {
    names: Vec<Box<[u8]>>,
    bytes: u64,
}

impl<S: Sink> Applier<S> {
    fn new(sink: S, whiteouts: Whiteouts) -> Self {
        Self {
            tree: Tree::new(),
            sink,
            whiteouts,
            layer: 0,
            deferred: Held::default(),
            entries: 0,
            bytes: 0,
            xattr_bytes: 0,
        }
    }

    fn layer(
        &mut self,
        layer: &Layer,
        number: LayerNumber,
        streams: &Streams<'_>,
    ) -> Result<(), Failure> {
        self.layer = number;
        if self.whiteouts == Whiteouts::First {
            for name in self.whiteouts(layer, streams)?.names {
                self.hide(&name, Moment::Met)
                    .map_err(|e| self.refused(layer, &name, e))?;
            }
        }
        let mut stream = streams.next_layer(layer);
        let mut reader = Reader::new(&mut stream);
        while let Some(entry) = self.next_entry(layer, &mut reader)? {
            self.entry(&entry, &mut reader)
                .map_err(|e| self.refused(layer, &entry.path, e))?;
            self.entries += 1;
        }
        for name in std::mem::take(&mut self.deferred).names {
            self.hide(&name, Moment::Last)
                .map_err(|e| self.refused(layer, &name, e))?;
        }
        stream.finish().map_err(|e| self.broken(layer, e.into()))
    }

    /// The whiteouts of a layer.
    fn whiteouts(&self, layer: &Layer, streams: &Streams<'_>) -> Result<Held, Failure> {
        let mut found = Held::default();
        let mut stream = streams.next_layer(layer);
        let mut reader = Reader::new(&mut stream);
        while let Some(entry) = self.next_entry(layer, &mut reader)? {
            if Target::parse(&entry.path).is_ok_and(|target| target.is_whiteout()) {
                found
                    .add(&entry.path)
                    .map_err(|e| self.refused(layer, &entry.path, e))?;
            }
        }
        stream.finish().map_err(|e| self.broken(layer, e.into()))?;
        Ok(found)
    }

    fn next_entry(&self, layer: &Layer, reader: &mut Reader<'_>) -> Result<Option<Entry>, Failure> {
        reader
            .next_entry()
            .map_err(|e| self.broken(layer, e.into()))
    }

    fn entry(&mut self, entry: &Entry, reader: &mut Reader<'_>) -> Result<(), Refusal> {
        match Target::parse(&entry.path)? {
            Target::Root => self.root(entry),
            Target::Entry { parent, name } => {
                let parent = self.make_parents(&parent)?;
                self.place(parent, name, entry, reader)?;
                self.tree.touch(parent, self.layer);
                Ok(())
            }
            Target::Whiteout { .. } | Target::Opaque { .. } => match entry.kind {
                Kind::File(_) if self.whiteouts == Whiteouts::First => Ok(()),
                Kind::File(_) => self.hide(&entry.path, Moment::Met),
                _ => Err(Refusal::WhiteoutKind),
            },
        }
    }

    fn finish(mut self, layers: usize) -> Result<Summary, Failure> {
        self.sink.finish(&self.tree)?;
        Ok(Summary {
            layers,
            entries: self.entries,
            bytes: self.bytes,
        })
    }

    fn broken(&self, layer: &Layer, cause: Cause) -> Failure {
        let digest = layer.blob.digest.to_string();
        Failure::Error(Error::Layer {
            layer: self.layer as usize,
            digest,
            cause,
        })
    }

    fn refused(&self, layer: &Layer, name: &[u8], refusal: Refusal) -> Failure {
        if refusal.depends_on_order() && self.whiteouts == Whiteouts::InOrder {
            return Failure::Again;
        }
        Failure::Error(Error::Entry {
            layer: self.layer as usize,
            digest: layer.blob.digest.to_string(),
            entry: name.escape_ascii().to_string(),
            cause: refusal.into(),
        })
    }
}

impl Held {
    fn add(&mut self, name: &[u8]) -> Result<(), Refusal> {
        self.bytes += (size_of::<Box<[u8]>>() + name.len()) as u64;
        if self.bytes > limits::WHITEOUT_BYTES_HELD {
            return Err(Refusal::TooManyWhiteouts);
        }
        self.names.push(name.into());
        Ok(())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
