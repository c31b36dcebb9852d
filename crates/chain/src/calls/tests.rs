use super::*;

fn gated(mask: u64, approved: u64, rules: u8, signature: &'static [u8]) -> GatedChunk {
    let of = |mask| WordMask { round: 1, word: 0, mask: [mask, 0, 0, 0] };
    let content = GateContent { mask: of(approved), as_of_seq: 0x0102, expiry: 0x0304 };
    GatedChunk {
        chunk: Chunk { mask: of(mask), words: Vec::new(), proof: Vec::new() },
        gate: GateWord { content, signature: Bytes::from_static(signature) },
        rules_hash: B256::repeat_byte(rules),
    }
}

#[test]
fn rules_are_named_where_they_change_and_masks_where_they_say_more_than_is_paid() {
    let zeros = |count| vec![0_u8; count];
    let times = [zeros(6), vec![1, 2], zeros(6), vec![3, 4]].concat();
    let chunks = [gated(0b1, 0b1, 7, b"ab"), gated(0b10, 0b111, 7, b"c"), gated(0b1, 0b1, 8, b"")];
    let first = [vec![0x80, 2], times.clone(), zeros(32), vec![7; 32], b"ab".to_vec()].concat();
    let second = [vec![0, 1], times.clone(), zeros(31), vec![0b101], b"c".to_vec()].concat();
    let third = [vec![0x80, 0], times, zeros(32), vec![8; 32]].concat();
    assert_eq!(packed(&chunks).to_vec(), [first, second, third].concat());
}
