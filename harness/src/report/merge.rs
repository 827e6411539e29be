//! Several records as one: converters × cases.

use std::collections::BTreeSet;

use super::Record;

/// All chains and trials of the records, in their order. Of machine, containment and harness every different
/// one is named.
///
/// # Errors
///
/// No record; a trial that stands in two; a chain whose stages differ between two; records of which not all
/// had the same go wrong on purpose.
pub fn merge(records: Vec<Record>) -> Result<Record, String> {
    let mut records = records.into_iter();
    let mut merged = records.next().ok_or("no record")?;
    let name = |trial: &super::TrialRecord| (trial.chain.clone(), trial.case.clone());
    let mut seen = BTreeSet::new();
    for trial in &merged.trials {
        unseen(seen.insert(name(trial)), &trial.name())?;
    }
    for record in records {
        if record.fault != merged.fault {
            let words = |fault: &Option<String>| match fault {
                Some(fault) => format!("with {fault}"),
                None => "without a fault".to_owned(),
            };
            let (one, other) = (words(&merged.fault), words(&record.fault));
            return Err(format!("one record was made {one}, another {other}"));
        }
        for trial in &record.trials {
            unseen(seen.insert(name(trial)), &trial.name())?;
        }
        for chain in record.chains {
            let known = merged.chains.iter().find(|known| known.name == chain.name);
            match known {
                None => merged.chains.push(chain),
                Some(known) if *known == chain => {}
                Some(_) => {
                    let name = chain.name;
                    return Err(format!(
                        "`{name}` has other stages or versions in another record"
                    ));
                }
            }
        }
        both(&mut merged.harness, &record.harness);
        both(&mut merged.machine, &record.machine);
        both(&mut merged.containment, &record.containment);
        merged.with_embargoed |= record.with_embargoed;
        merged.trials.extend(record.trials);
    }
    Ok(merged)
}

fn unseen(is_new: bool, trial: &str) -> Result<(), String> {
    match is_new {
        true => Ok(()),
        false => Err(format!("the trial `{trial}` stands in the records twice")),
    }
}

/// Adds a text to those that are named already.
fn both(texts: &mut String, text: &str) {
    if !texts.split("; ").any(|known| known == text) {
        *texts = format!("{texts}; {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::merge;
    use crate::report::sample::{pass, record};

    #[test]
    fn records_are_put_together() {
        let mut other = record(vec![pass("b", "x/one"), pass("a", "x/two")]);
        other.machine = "another machine".to_owned();
        other.with_embargoed = true;
        let merged = merge(vec![record(vec![pass("a", "x/one")]), other]).unwrap();
        let chains: Vec<&str> = merged.chains.iter().map(|chain| &*chain.name).collect();
        assert_eq!(chains, ["a", "b"]);
        let names: Vec<String> = merged.trials.iter().map(|trial| trial.name()).collect();
        assert_eq!(names, ["a/x/one", "b/x/one", "a/x/two"]);
        assert_eq!(merged.machine, "a machine; another machine");
        assert_eq!(merged.containment, "full");
        assert!(merged.with_embargoed);
        assert_eq!(merge(Vec::new()).unwrap_err(), "no record");
    }

    #[test]
    fn what_contradicts_is_refused() {
        let one = || record(vec![pass("a", "x/one")]);
        let error = |other| merge(vec![one(), other]).unwrap_err();
        assert_eq!(
            error(one()),
            "the trial `a/x/one` stands in the records twice"
        );
        let mut twice = one();
        twice.trials.push(pass("a", "x/one"));
        assert!(merge(vec![twice]).is_err());
        let mut newer = record(vec![pass("a", "x/two")]);
        newer.chains[0].stages[0].version = "2.0".to_owned();
        assert_eq!(
            error(newer),
            "`a` has other stages or versions in another record"
        );
        let mut faulty = record(vec![pass("b", "x/one")]);
        faulty.fault = Some("disk-full".to_owned());
        assert_eq!(
            error(faulty),
            "one record was made without a fault, another with disk-full"
        );
    }
}
