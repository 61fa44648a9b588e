/** Which types partial rows keep as they are, and how the others are kept. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasOneTextPerValue, hasUnnamedStruct, storageType } from './storage-types.ts'

test('types that Parquet keeps are kept as they are', () => {
  const types = [
    'BIGINT',
    'DECIMAL(38,2)',
    'TIMESTAMP WITH TIME ZONE',
    'VARCHAR[]',
    'STRUCT(a INTEGER, "b c" VARCHAR[][])',
    'MAP(VARCHAR, STRUCT("interval" INTEGER))',
    'JSON',
  ]
  for (const type of types) assert.equal(storageType(type), type)
})

test('other types are kept as text, also inside of nested ones; a fixed length is left out', () => {
  assert.equal(storageType('HUGEINT'), 'VARCHAR')
  assert.equal(storageType("ENUM('a', 'it''s, (b)')"), 'VARCHAR')
  assert.equal(storageType('TIME WITH TIME ZONE'), 'VARCHAR')
  assert.equal(storageType('INTEGER[3]'), 'INTEGER[]')
  assert.equal(storageType('STRUCT(a INTERVAL, "HUGEINT" BIGINT)'), 'STRUCT(a VARCHAR, "HUGEINT" BIGINT)')
  assert.equal(storageType('MAP(VARCHAR, HUGEINT[2])'), 'MAP(VARCHAR, VARCHAR[])')
})

test('unknown types are not kept at all', () => {
  for (const type of ['UNION(a INTEGER)', 'VARIANT', 'BIGNUM', '"NULL"', 'STRUCT(a VARIANT)', '']) {
    assert.equal(storageType(type), undefined)
  }
})

test('structs without names are known', () => {
  assert.equal(storageType('STRUCT(VARCHAR, DECIMAL(3,1))'), 'STRUCT(f0 VARCHAR, f1 DECIMAL(3,1))')
  assert.ok(hasUnnamedStruct('STRUCT(VARCHAR, INTEGER)[]'))
  assert.ok(hasUnnamedStruct('STRUCT(a STRUCT(INTEGER))'))
  assert.ok(!hasUnnamedStruct('STRUCT(a VARCHAR, b INTEGER)'))
})

test('equal intervals may have different texts', () => {
  assert.ok(!hasOneTextPerValue('INTERVAL'))
  assert.ok(!hasOneTextPerValue('STRUCT(a INTERVAL)'))
  assert.ok(hasOneTextPerValue('STRUCT("INTERVAL" HUGEINT)'))
})
