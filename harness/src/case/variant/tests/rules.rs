//! What holds of variants whatever their axis.

use super::{IN_A, case, left_out, made, shown, with};
use crate::case::variant::{AXES, LeftOut, NoVariant, named, split_id, variants};
use crate::case::{Case, Compression, Expect, Level, parse};

#[test]
fn a_variant_is_the_case_but_for_its_axis() {
    let plain = case(&[IN_A]);
    let variant = made(&plain, "media-type=docker").case;
    assert_eq!(
        (variant.id.as_str(), variant.origin()),
        ("name/x@media-type=docker", "name/x")
    );
    assert_eq!(variant.level, Level::DeFacto);
    assert_eq!(variant.title, "x; with docker's media types throughout");
    assert_eq!(variant.goldens()[0].0, "name/x");
    assert_eq!(split_id(&variant.id), ("name/x", Some("media-type=docker")));
    assert_eq!(split_id("name/x"), ("name/x", None));
    assert_eq!(
        Case {
            id: plain.id.clone(),
            title: plain.title.clone(),
            level: plain.level,
            note: None,
            layers: plain.layers.clone(),
            image: plain.image.clone(),
            ..variant
        },
        plain
    );
}

#[test]
fn expectations_decide_which_axes_apply() {
    let reject = with(
        &["{file='../a',twin={file='a'}},{file='b'}"],
        "[expect]\nreject = 'because'\n",
    );
    left_out(&reject, "order=reversed", LeftOut::NotOneTree);
    let variant = made(&reject, "compression=none").case;
    let Expect::Reject { twin, .. } = &variant.expect else {
        panic!("a reject case");
    };
    assert_eq!(twin.id, "name/x@compression=none+twin");
    assert_eq!(
        (shown(&variant), shown(twin)),
        (vec!["../a b".into()], vec!["a b".into()])
    );
    assert_eq!(twin.layers[0].compression, Compression::None);
    assert_eq!(variant.goldens()[0].0, "name/x.twin");

    let one_of = with(
        &["{file='a'}"],
        "[expect]\none-of = [{name='a'}, {name='reject'}]\n",
    );
    left_out(&one_of, "root=dot", LeftOut::NotOneTree);
    assert_eq!(made(&one_of, "header=pax").case.goldens()[0].0, "name/x.a");
    left_out(
        &with(&["{file='a'}"], "[expect]\nrecord = 'x'\n"),
        "header=pax",
        LeftOut::NoVerdict,
    );
    let erofs = "format = 'erofs'\n[expect]\ntree = 'golden'\n";
    left_out(
        &with(&["{dir='./'},{file='a'}"], erofs),
        "empty-layer=top",
        LeftOut::NotTar,
    );
    let damaged = "[image]\nblob = [{of='layer:0',flip=1}]\n[expect]\nreject = 'x'\n";
    left_out(
        &with(&["{file='a'}"], damaged),
        "header=pax",
        LeftOut::Damaged,
    );
}

#[test]
fn what_is_no_variant_says_so() {
    let plain = case(&[IN_A]);
    for setting in ["root", "root=", "root=none", "boot=dot", "root=dot=dot", ""] {
        let error = named(&plain, setting).unwrap_err();
        assert_eq!(error, NoVariant::Unknown(setting.to_owned()));
        assert!(
            error
                .to_string()
                .contains("there are root=absent, root=dot-slash"),
            "{error}"
        );
    }
}

/// The base that a case stands on is the same for all: a variant of it alone is no variant.
#[test]
fn a_change_of_the_base_alone_counts_for_the_absent_root_only() {
    let text = "title = 'x'\nspec = 'x'\nlevel = 'must'\n[[layer]]\nentries = [{file='\\351'}]\n\
                [expect]\ntree = 'golden'\n"
        .replace("'\\351'", "'\\351',header={name='x'}");
    let based = parse("name/x", &text, &|_| Some(b"#!".to_vec())).unwrap();
    left_out(&based, "header=pax", LeftOut::HandWritten);
    left_out(&based, "parents=implied", LeftOut::Same);
    assert!(made(&based, "root=absent").case.layers[0].entries.len() > 10);
}

#[test]
fn the_table_is_in_order() {
    let case = case(&[IN_A]);
    let settings: Vec<_> = variants(&case)
        .map(|(axis, value, _)| (axis.name, value.name))
        .collect();
    let mut unique = settings.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!((unique.len(), settings.len()), (32, 32));
    for value in AXES.iter().flat_map(|axis| axis.values) {
        let must_quote = value.level == Level::Must || value.level == Level::Should;
        assert!(
            !must_quote || !value.quote.is_empty(),
            "{}: a must without a quote",
            value.name
        );
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        assert!(value.name.bytes().all(plain), "{}", value.name);
    }
}
