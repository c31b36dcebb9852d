use super::hex_number;

#[test]
fn numbers_are_written_as_ethers_writes_them() {
    let cases =
        [(0, "0x00"), (1, "0x01"), (100, "0x64"), (256, "0x0100"), (10u128.pow(18), "0x0de0b6b3a7640000")];
    for (number, expected) in cases {
        assert_eq!(hex_number(number), expected);
    }
}
