// The EAS SDK at work, for the Rust tests. It writes one JSON value.
//
//   node sdk.mjs sign          signs attestations of every version and form, and Sign Protocol's with ethers
//   node sdk.mjs verify        says of each share package on standard input whether the SDK's own check passes
//   node sdk.mjs chain URL     deploys the EAS contracts on a development chain, attests and revokes there

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The SDK's ES modules do not load in Node (they import names from lodash, which is CommonJS); its CommonJS form does.
const require = createRequire(import.meta.url);
const eas = require("@ethereum-attestation-service/eas-sdk");
const contracts = require("@ethereum-attestation-service/eas-contracts");
const { ContractFactory, JsonRpcProvider, NonceManager, Wallet, ZeroAddress, ZeroHash, id } = require("ethers");

const { EAS, Offchain, OFFCHAIN_ATTESTATION_TYPES, SchemaEncoder, SchemaRegistry, createOffchainURL, zipAndEncodeToBase64 } = eas;

const SCHEMA = "bool like,uint256 n, string s,bytes32 b,address a,uint16[] list";
const CONTRACT = "0x6f2E42BB4176e9A7352a8bF8886255Be9F3D2d13";
const CHAIN_ID = 31337n;
const TIME = 1790000000n;
const wallets = [1, 2, 3].map((n) => new Wallet(id(`issuer ${n}`)));

const bigints = (spell) => (_, value) => (typeof value === "bigint" ? spell(value) : value);
const text = (value) => JSON.stringify(value, bigints(String));
const numbers = (value) => JSON.stringify(value, bigints(Number));

function values(n) {
  return [
    { name: "like", type: "bool", value: n % 2 === 0 },
    { name: "n", type: "uint256", value: 2n ** BigInt(n * 20) },
    { name: "s", type: "string", value: "Ünïcødé ✓ ".repeat(n) },
    { name: "b", type: "bytes32", value: id(`b${n}`) },
    { name: "a", type: "address", value: wallets[n % 3].address },
    { name: "list", type: "uint16[]", value: Array.from({ length: n }, (_, k) => k * 7) },
  ];
}

const encode = (n) => new SchemaEncoder(SCHEMA).encodeData(values(n));
const schemaUid = SchemaRegistry.getSchemaUID(SCHEMA, ZeroAddress, true);

function message(n) {
  return {
    schema: schemaUid,
    recipient: n % 3 === 1 ? ZeroAddress : new Wallet(id(`recipient ${n}`)).address,
    time: TIME + BigInt(n),
    expirationTime: n % 2 === 0 ? 0n : TIME + 86400n,
    revocable: n % 4 !== 3,
    refUID: n % 3 === 2 ? id(`ref ${n}`) : ZeroHash,
    data: encode(n),
  };
}

function forms(signed, issuer) {
  const { signature, version, ...rest } = signed;
  return {
    alone: text(signed),
    numbers: numbers(signed),
    shared: text({ sig: signed, signer: issuer }),
    old: text({ ...rest, ...signature }),
    oldShared: text({ sig: { ...rest, ...signature }, signer: issuer }),
    url: `https://easscan.org${createOffchainURL({ sig: signed, signer: issuer })}`,
    packed: zipAndEncodeToBase64({ sig: signed, signer: issuer }),
  };
}

const offchain = (version, domain, address = CONTRACT, chainId = CHAIN_ID) =>
  new Offchain({ address, version: domain, chainId }, version, new EAS(address));

async function signed() {
  const cases = [];
  for (const version of [0, 1, 2]) {
    for (let n = 0; n < 6; n++) {
      const wallet = wallets[n % 3];
      const sdk = offchain(version, ["0.26", "1.3.0", "1.4.0"][n % 3]);
      const attestation = await sdk.signOffchainAttestation(message(n), wallet);
      const verified = sdk.verifyOffchainAttestationSignature(wallet.address, attestation);
      cases.push({ name: `version ${version}, ${n}`, n, version, verified, attestation, wallet });
    }
  }
  // What older SDKs signed as version 0: the other type name, under either primary type.
  for (const type of OFFCHAIN_ATTESTATION_TYPES[0].slice(1)) {
    const sdk = offchain(0, "0.26");
    const domain = sdk.getDomainTypedData();
    const raw = await wallets[0].signTypedData(domain, type.types, message(4));
    const signature = { v: parseInt(raw.slice(130), 16), r: raw.slice(0, 66), s: `0x${raw.slice(66, 130)}` };
    const { schema, recipient, time, expirationTime, revocable, refUID, data } = message(4);
    const uid = Offchain.getOffchainUID(0, schema, recipient, time, expirationTime, revocable, refUID, data);
    const attestation = { uid, domain, primaryType: type.primaryType, types: type.types, message: message(4), signature };
    const verified = sdk.verifyOffchainAttestationSignature(wallets[0].address, attestation);
    cases.push({ name: `version 0 as ${type.primaryType}`, n: 4, version: 0, verified, attestation, wallet: wallets[0] });
  }
  return cases.map(({ attestation, wallet, ...rest }) => ({
    ...rest,
    issuer: wallet.address,
    uid: attestation.uid,
    values: values(rest.n),
    forms: forms(attestation, wallet.address),
  }));
}

// Sign Protocol's SDK needs a browser; this is what it hands to the wallet (sp-sdk, OffChainClientBase).
async function signProtocol() {
  const bodies = [];
  for (const recipients of ["address[]", "string[]"]) {
    for (const index of ["address", "string"]) {
      const Data = [
        { name: "schemaId", type: "string" },
        { name: "linkedAttestationId", type: "string" },
        { name: "data", type: "string" },
        { name: "validUntil", type: "uint32" },
        { name: "recipients", type: recipients },
        { name: "indexingValue", type: index },
      ];
      const message = {
        schemaId: "SPS_cKmgkXVeojP-CdiH7kK7K",
        linkedAttestationId: "",
        validUntil: Number(TIME) + 86400,
        recipients: recipients === "address[]" ? [wallets[1].address, wallets[2].address] : ["someone", wallets[2].address],
        indexingValue: index === "address" ? wallets[2].address : "someone ✓",
        dataLocation: "arweave",
        data: JSON.stringify({ like: true, n: "7" }),
      };
      const domain = { name: "sign.global", version: "1" };
      const { dataLocation, ...hashed } = message;
      const signature = await wallets[0].signTypedData(domain, { Data }, hashed);
      const EIP712Domain = [{ name: "name", type: "string" }, { name: "version", type: "string" }];
      const types = { EIP712Domain, AttestationData: [{ name: "like", type: "bool" }], Data };
      const typed = { domain, message, primaryType: "Data", types };
      bodies.push(text({
        signType: "evm-eip712",
        publicKey: wallets[0].address,
        signature,
        message: text(typed),
        attestation: text(message),
      }));
    }
  }
  return { bodies, issuer: wallets[0].address, recipient: wallets[2].address };
}

function verify(packages) {
  return packages.map(({ sig, signer }) => {
    const { message, domain } = sig;
    const attestation = {
      ...sig,
      domain: { ...domain, chainId: BigInt(domain.chainId) },
      message: { ...message, time: BigInt(message.time), expirationTime: BigInt(message.expirationTime) },
    };
    const sdk = offchain(sig.version, domain.version, domain.verifyingContract, BigInt(domain.chainId));
    return sdk.verifyOffchainAttestationSignature(signer, attestation);
  });
}

async function chain(url) {
  const provider = new JsonRpcProvider(url, undefined, { cacheTimeout: -1, pollingInterval: 50 });
  const account = new NonceManager(await provider.getSigner(0));
  const deploy = async (factory, ...args) => {
    const contract = await new ContractFactory(factory.abi, factory.bytecode, account).deploy(...args);
    await contract.waitForDeployment();
    return contract.getAddress();
  };
  const registryAddress = await deploy(contracts.SchemaRegistry__factory);
  const address = await deploy(contracts.EAS__factory, registryAddress);
  const registry = new SchemaRegistry(registryAddress, { signer: account });
  const registered = await (await registry.register({ schema: SCHEMA, resolverAddress: ZeroAddress, revocable: true })).wait();
  const sdk = new EAS(address, { signer: account });

  const request = (n) => {
    const { recipient, data } = message(n);
    // The chain refuses what has expired on its own clock, which is this machine's.
    const expirationTime = n % 2 === 0 ? 0n : 4102444800n;
    return { recipient, expirationTime, revocable: n % 2 === 0, refUID: ZeroHash, data, value: 0n };
  };
  // The same statement three times in one transaction: EAS bumps the uids.
  const uids = await (await sdk.multiAttest([{ schema: schemaUid, data: [request(2), request(2), request(2), request(1)] }])).wait();
  const [first] = uids;
  await (await sdk.revoke({ schema: schemaUid, data: { uid: first } })).wait();
  const offchainUid = id("an off-chain uid");
  await (await sdk.revokeOffchain(offchainUid)).wait();
  const issuer = await account.getAddress();
  const records = [];
  for (const uid of [...uids, ZeroHash]) {
    const record = await sdk.getAttestation(uid);
    const { schema, refUID, time, expirationTime, revocationTime, recipient, attester, revocable, data } = record;
    records.push({
      asked: uid,
      record: {
        uid: record.uid, schema, time: Number(time), expiration_time: Number(expirationTime),
        revocation_time: Number(revocationTime), ref_uid: refUID, recipient, attester, revocable, data,
      },
    });
  }
  return {
    address, issuer, registered, records, chainId: Number((await provider.getNetwork()).chainId),
    revokedOffchain: Number(await sdk.getRevocationOffchain(issuer, offchainUid)),
  };
}

const [mode, argument] = process.argv.slice(2);
const result =
  mode === "sign" ? { schema: SCHEMA, schemaUid, contract: CONTRACT, cases: await signed(), signProtocol: await signProtocol() }
  : mode === "verify" ? verify(JSON.parse(readFileSync(0, "utf8")))
  : mode === "chain" ? { schema: SCHEMA, schemaUid, ...(await chain(argument)) }
  : undefined;
process.stdout.write(text(result), () => process.exit(0));
