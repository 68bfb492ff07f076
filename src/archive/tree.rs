//! A hash tree over the events of the chain, so that a proof of one of them stays small.
//!
//! Shape and tags are those of RFC 6962, section 2.1: a leaf is SHA-256 of a zero byte and the event's 32-byte hash, an
//! inner node is SHA-256 of a one byte and its two children; the left part of n leaves is the largest power of two
//! below n. Leaves are pushed one by one; memory is one node per level.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::entry::Sha256Hex;

/// One step from a leaf to the root: the sibling, and on which side it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The sibling is hashed first.
    Left(Sha256Hex),
    /// The sibling is hashed last.
    Right(Sha256Hex),
}

/// A tree that grows at its right end.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Complete subtrees, largest first.
    peaks: Vec<Peak>,
    leaves: u64,
    /// Number of the leaf whose path is wanted, from 1.
    wanted: Option<u64>,
    path: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Peak {
    leaves: u64,
    hash: Sha256Hex,
    holds_wanted: bool,
}

impl Tree {
    /// A tree that remembers the path of one leaf, counted from 1.
    pub(crate) fn wanting(leaf: u64) -> Tree {
        Tree { wanted: Some(leaf), ..Tree::default() }
    }

    /// Adds the hash of the next event.
    pub(crate) fn push(&mut self, event_hash: &Sha256Hex) {
        self.leaves += 1;
        let holds_wanted = self.wanted == Some(self.leaves);
        let mut peak = Peak { leaves: 1, hash: leaf(event_hash), holds_wanted };
        while let Some(left) = self.peaks.pop_if(|left| left.leaves == peak.leaves) {
            peak = join(left, peak, &mut self.path);
        }
        self.peaks.push(peak);
    }

    /// The root over all leaves so far; `None` without leaves.
    pub(crate) fn root(&self) -> Option<Sha256Hex> {
        self.folded(&mut Vec::new())
    }

    /// The root, and the path of the wanted leaf to it.
    pub(crate) fn root_and_path(mut self) -> Option<(Sha256Hex, Vec<Step>)> {
        let mut path = std::mem::take(&mut self.path);
        self.folded(&mut path).map(|root| (root, path))
    }

    fn folded(&self, path: &mut Vec<Step>) -> Option<Sha256Hex> {
        let mut from_right = self.peaks.iter().rev().cloned();
        let last = from_right.next()?;
        Some(from_right.fold(last, |right, left| join(left, right, path)).hash)
    }
}

/// The whole tree in memory, 64 bytes a leaf: gives the path of any number of leaves. Where one path is wanted,
/// [`Tree::wanting`] needs none of that.
pub(crate) struct FullTree {
    /// Nodes from the leaves upwards; a last node without a sibling stands in the next level as it is.
    levels: Vec<Vec<Sha256Hex>>,
}

impl FullTree {
    /// The tree over these events' hashes, in order.
    pub(crate) fn over(event_hashes: impl Iterator<Item = Sha256Hex>) -> FullTree {
        let mut levels = vec![event_hashes.map(|hash| leaf(&hash)).collect::<Vec<_>>()];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(2).map(|pair| if let [left, right] = pair { node(left, right) } else { pair[0] });
            let above = above.collect();
            levels.push(above);
        }
        FullTree { levels }
    }

    /// The path of a leaf, counted from 1; `None` if there is no such leaf.
    pub(crate) fn path(&self, leaf: u64) -> Option<Vec<Step>> {
        let mut at = usize::try_from(leaf.checked_sub(1)?).ok()?;
        self.levels.first()?.get(at)?;
        let mut path = Vec::new();
        for level in &self.levels {
            match at.is_multiple_of(2) {
                true => path.extend(level.get(at + 1).copied().map(Step::Right)),
                false => path.push(Step::Left(level[at - 1])),
            }
            at /= 2;
        }
        Some(path)
    }
}

/// The root that a path leads to from an event.
pub(crate) fn climb(event_hash: &Sha256Hex, path: &[Step]) -> Sha256Hex {
    path.iter().fold(leaf(event_hash), |hash, step| match step {
        Step::Left(sibling) => node(sibling, &hash),
        Step::Right(sibling) => node(&hash, sibling),
    })
}

fn join(left: Peak, right: Peak, path: &mut Vec<Step>) -> Peak {
    if left.holds_wanted {
        path.push(Step::Right(right.hash));
    } else if right.holds_wanted {
        path.push(Step::Left(left.hash));
    }
    Peak {
        leaves: left.leaves + right.leaves,
        hash: node(&left.hash, &right.hash),
        holds_wanted: left.holds_wanted || right.holds_wanted,
    }
}

fn leaf(event_hash: &Sha256Hex) -> Sha256Hex {
    Sha256Hex(Sha256::new().chain_update([0]).chain_update(event_hash.0).finalize().into())
}

fn node(left: &Sha256Hex, right: &Sha256Hex) -> Sha256Hex {
    Sha256Hex(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hashes(count: u64) -> Vec<Sha256Hex> {
        (0..count).map(|number| Sha256Hex::of(&number.to_le_bytes())).collect()
    }

    /// RFC 6962's own, recursive definition.
    fn by_definition(hashes: &[Sha256Hex]) -> Sha256Hex {
        if let [one] = hashes {
            return leaf(one);
        }
        let split = hashes.len().next_power_of_two() / 2;
        node(&by_definition(&hashes[..split]), &by_definition(&hashes[split..]))
    }

    #[test]
    fn every_leaf_of_every_size_climbs_to_the_root_of_the_definition() {
        for count in 1..=40 {
            let hashes = hashes(count);
            let root = by_definition(&hashes);
            for wanted in 1..=count {
                let mut tree = Tree::wanting(wanted);
                hashes.iter().for_each(|hash| tree.push(hash));
                assert_eq!(tree.root(), Some(root), "{count}");
                let (same, path) = tree.root_and_path().unwrap();
                assert_eq!(same, root);
                let full = FullTree::over(hashes.iter().copied());
                assert_eq!(full.path(wanted).as_ref(), Some(&path), "leaf {wanted} of {count}");
                assert_eq!((full.path(0), full.path(count + 1)), (None, None));
                let own = &hashes[usize::try_from(wanted).unwrap() - 1];
                assert_eq!(climb(own, &path), root, "leaf {wanted} of {count}");
                assert!(path.len() <= 6);
                let other = &hashes[usize::try_from(wanted % count).unwrap()];
                assert!(count == 1 || climb(other, &path) != root);
            }
        }
        assert_eq!(Tree::default().root(), None);
    }

    #[test]
    fn a_step_is_written_with_its_side() {
        let step = Step::Left(Sha256Hex([0; 32]));
        assert_eq!(serde_json::to_string(&step).unwrap(), format!("{{\"left\":\"{}\"}}", "0".repeat(64)));
    }
}
