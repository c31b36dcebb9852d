//! Commands signed as a list: one signature over a small Merkle tree of their struct hashes.

use alloy_primitives::{B256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::ids::DemandId;

/// A command's place in a list under one signature: every item is a demand of its own, with its own position and
/// answer, and proves that it stands under the signed root.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct ListPlace {
    /// The list's id, which was signed.
    pub list: DemandId,
    /// Items in the list.
    pub count: u32,
    /// Which of them this is, from 0.
    pub at: u32,
    /// Siblings up to the root.
    pub path: Vec<B256>,
}

impl ListPlace {
    /// The root over all items, from the struct hash of this one. Leaf = keccak256(0x00 ‖ hash), node = keccak256(0x01 ‖
    /// left ‖ right); an odd last node goes up unchanged. `None` if the path cannot belong to this place.
    pub fn root(&self, item: B256) -> Option<B256> {
        if self.at >= self.count {
            return None;
        }
        let mut node = list_leaf(item);
        let (mut at, mut width) = (self.at, self.count);
        let mut path = self.path.iter();
        while width > 1 {
            let last_and_odd = at % 2 == 0 && at + 1 == width;
            if !last_and_odd {
                let sibling = *path.next()?;
                node = if at % 2 == 0 { list_node(node, sibling) } else { list_node(sibling, node) };
            }
            (at, width) = (at / 2, width.div_ceil(2));
        }
        path.next().is_none().then_some(node)
    }
}

/// The root and every item's siblings of a list of struct hashes.
pub fn list_tree(items: &[B256]) -> (B256, Vec<Vec<B256>>) {
    let mut level: Vec<B256> = items.iter().map(|item| list_leaf(*item)).collect();
    let mut paths = vec![Vec::new(); items.len()];
    let mut height = 0;
    while level.len() > 1 {
        for (item, path) in paths.iter_mut().enumerate() {
            if let Some(sibling) = level.get((item >> height) ^ 1) {
                path.push(*sibling);
            }
        }
        level = level
            .chunks(2)
            .map(|pair| if let [left, right] = pair { list_node(*left, *right) } else { pair[0] })
            .collect();
        height += 1;
    }
    (level.first().copied().unwrap_or_default(), paths)
}

fn list_leaf(item: B256) -> B256 {
    keccak256([[0].as_slice(), item.as_slice()].concat())
}

fn list_node(left: B256, right: B256) -> B256 {
    keccak256([[1].as_slice(), left.as_slice(), right.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_proves_its_place_and_no_other() {
        for count in 1..40u32 {
            let items: Vec<B256> = (0..count).map(|i| keccak256(i.to_be_bytes())).collect();
            let (root, paths) = list_tree(&items);
            for (at, path) in (0..).zip(&paths) {
                let place = ListPlace { list: DemandId::default(), count, at, path: path.clone() };
                assert_eq!(place.root(items[at as usize]), Some(root));
                assert_ne!(place.root(keccak256(b"another item")), Some(root));
                let longer = ListPlace { path: [path.clone(), vec![root]].concat(), ..place.clone() };
                assert_eq!(longer.root(items[at as usize]), None);
                assert_ne!(
                    ListPlace { at: (at + 1) % count.max(2), ..place }.root(items[at as usize]),
                    Some(root)
                );
            }
        }
    }
}
