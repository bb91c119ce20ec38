// made by tools/generate.py, not to be edited, from _ext/quotes.pyx: little endian, [offset, type] of each field.
export const HEADER = {
  size: 40,
  fields: {
    magic: [0, 'Uint32'],
    kind: [4, 'Uint8'],
    rows: [6, 'Uint16'],
    run: [8, 'Uint32'],
    epoch: [12, 'Uint32'],
    sequence: [16, 'Uint32'],
    now: [24, 'BigInt64'],
    wall: [32, 'BigInt64'],
  },
};
export const ROW = {
  size: 12,
  fields: {
    inst: [0, 'Uint16'],
    flags: [2, 'Uint8'],
    score: [3, 'Uint8'],
    price: [4, 'Int32'],
    move: [8, 'Int16'],
    volume: [10, 'Uint16'],
  },
};
export const MARKS = {
  position: 1,
  candidate: 2,
  passed: 4,
  stale: 8,
  order: 16,
  pending: 32,
};
