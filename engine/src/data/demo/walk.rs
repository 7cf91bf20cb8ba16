//! `walk`: strolls over a fixed map of 24 places, a Markov chain in words.
//!
//! "from gate to well to mill to pond ." The next place depends on the present one only; each place
//! has three or four roads, some much more used than others. A stroll starts anywhere with equal
//! probability and ends after a step with probability [`END`].

use super::draft::{Draft, Expected, entropy};

/// Probability that a document ends after a stroll.
pub(super) const STOP: f64 = 1.0 / 4.0;

/// Probability that a stroll ends after a step.
const END: f64 = 1.0 / 5.0;

/// The map: every place with its roads and how much each is used.
const ROADS: &[(&str, &[(&str, u32)])] = &[
    ("gate", &[("well", 6), ("market", 3), ("inn", 1)]),
    ("well", &[("mill", 5), ("gate", 3), ("church", 1), ("school", 1)]),
    ("mill", &[("pond", 6), ("bakery", 3), ("well", 1)]),
    ("pond", &[("meadow", 6), ("mill", 2), ("ford", 2)]),
    ("barn", &[("meadow", 5), ("orchard", 4), ("inn", 1)]),
    ("inn", &[("market", 6), ("gate", 2), ("harbour", 1), ("barn", 1)]),
    ("bridge", &[("ford", 5), ("market", 4), ("tower", 1)]),
    ("church", &[("school", 6), ("well", 2), ("market", 2)]),
    ("market", &[("bakery", 5), ("forge", 2), ("church", 2), ("bridge", 1)]),
    ("forge", &[("market", 5), ("barn", 3), ("quarry", 2)]),
    ("school", &[("well", 6), ("church", 3), ("spring", 1)]),
    ("bakery", &[("market", 6), ("mill", 3), ("inn", 1)]),
    ("orchard", &[("vineyard", 6), ("barn", 3), ("meadow", 1)]),
    ("meadow", &[("orchard", 5), ("pond", 3), ("forest", 2)]),
    ("ford", &[("bridge", 6), ("pond", 3), ("spring", 1)]),
    ("tower", &[("hilltop", 6), ("bridge", 3), ("lighthouse", 1)]),
    ("harbour", &[("lighthouse", 6), ("inn", 3), ("bridge", 1)]),
    ("lighthouse", &[("harbour", 7), ("tower", 2), ("cave", 1)]),
    ("quarry", &[("cave", 5), ("forge", 4), ("hilltop", 1)]),
    ("forest", &[("spring", 5), ("meadow", 3), ("cave", 2)]),
    ("cave", &[("quarry", 6), ("forest", 3), ("hilltop", 1)]),
    ("spring", &[("ford", 5), ("forest", 4), ("well", 1)]),
    ("hilltop", &[("tower", 5), ("vineyard", 3), ("forest", 2)]),
    ("vineyard", &[("orchard", 6), ("hilltop", 3), ("gate", 1)]),
];

fn place(name: &str) -> Option<usize> {
    ROADS.iter().position(|(place, _)| *place == name)
}

fn uses(from: usize) -> impl Iterator<Item = f64> + Clone {
    ROADS[from].1.iter().map(|(_, uses)| f64::from(*uses))
}

/// Writes one stroll.
pub(super) fn write(draft: &mut Draft) {
    let mut here = draft.any(ROADS.len());
    draft.say("from");
    draft.say(ROADS[here].0);
    loop {
        let road = draft.choose(&uses(here).collect::<Vec<_>>());
        let name = ROADS[here].1[road].0;
        draft.say("to");
        draft.say(name);
        here = place(name).expect("every road of the map leads to a place of the map");
        if draft.choose(&[END, 1.0 - END]) == 0 {
            draft.say(".");
            return;
        }
    }
}

/// Gives the expected cost and length of a stroll: the distribution over places is carried from
/// step to step until the chance that a stroll is still going on is below 1e-18.
pub(super) fn expected() -> Expected {
    let n = ROADS.len();
    // "from", the first place and the full stop.
    let mut total = Expected { nats: (n as f64).ln(), tokens: 3.0 };
    // Chance of being at each place with the stroll still going on.
    let mut at = vec![1.0 / n as f64; n];
    while at.iter().sum::<f64>() > 1e-18 {
        let mut next = vec![0.0; n];
        for (here, p) in at.iter().enumerate() {
            total.nats += p * (entropy(uses(here)) + entropy([END, 1.0 - END].into_iter()));
            total.tokens += 2.0 * p;
            let sum: f64 = uses(here).sum();
            for (name, uses) in ROADS[here].1 {
                let there = place(name).expect("every road of the map leads to a place of the map");
                next[there] += (1.0 - END) * p * f64::from(*uses) / sum;
            }
        }
        at = next;
    }
    total
}

/// Reads one stroll: how many words it has and its probability.
pub(super) fn read(words: &[&str]) -> Option<(usize, f64)> {
    let end = 1 + words.iter().position(|word| *word == ".")?;
    let ["from", start, steps @ ..] = &words[..end - 1] else {
        return None;
    };
    if steps.is_empty() || steps.len() % 2 != 0 {
        return None;
    }
    let mut here = *start;
    let mut p = 1.0 / ROADS.len() as f64;
    for (i, step) in steps.chunks(2).enumerate() {
        let roads = ROADS[place(here)?].1;
        let road = roads.iter().find(|(to, _)| step == ["to", *to])?;
        p *= f64::from(road.1) / f64::from(roads.iter().map(|(_, uses)| uses).sum::<u32>());
        p *= if i > 0 { 1.0 - END } else { 1.0 };
        here = road.0;
    }
    Some((end, p * END))
}

/// Lists the words.
pub(super) fn words() -> Vec<&'static str> {
    ["from", "to", "."].into_iter().chain(ROADS.iter().map(|(name, _)| *name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_three_or_four_roads_and_can_be_reached_by_road() {
        assert_eq!(ROADS.len(), 24);
        for (name, roads) in ROADS {
            assert!((3..=4).contains(&roads.len()), "{name}");
            assert!(roads.iter().all(|(to, _)| place(to).is_some() && to != name), "{name}");
            assert!(ROADS.iter().any(|(_, r)| r.iter().any(|(to, _)| to == name)), "{name}");
        }
    }

    #[test]
    fn a_stroll_is_as_likely_as_its_roads() {
        let read = |text: &str| read(&text.split(' ').collect::<Vec<_>>());
        let (used, p) = read("from gate to well to church . from").unwrap();
        // Any of 24 places, gate to well 6 of 10, go on 4/5, well to church 1 of 10, end 1/5.
        assert_eq!(used, 7);
        assert!((p - 1.0 / 24.0 * 0.6 * 0.8 * 0.1 * 0.2).abs() < 1e-18);
        assert!(read("from gate to mill .").is_none());
        assert!(read("from gate .").is_none());
    }
}
