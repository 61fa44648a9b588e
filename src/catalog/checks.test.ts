/** Verdicts in the catalog: which is the last about what answers, what changes colour, what is kept. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { checkResults, lastCheck, recordChecks, type StoredCheck } from './checks.ts'
import { audit } from './journal.ts'
import { type Catalog, openCatalog } from './open-catalog.ts'

let folder: string
let catalog: Catalog

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-checks-'))
  catalog = openCatalog(join(folder, 'catalog.sqlite'))
})
afterEach(() => {
  catalog.close()
  rmSync(folder, { recursive: true, force: true })
})

function verdict(said: StoredCheck['verdict'], version: string, live: boolean, cut = 1): StoredCheck {
  return { name: 'c', verdict: said, cut, timeMs: cut, text: said, rows: [], versions: { v: version }, live }
}

/** Whether recording it is a change of colour. */
function changes(result: StoredCheck): boolean {
  return recordChecks(catalog, [result]).length === 1
}

test('the last verdict is the newest about the versions that answer', () => {
  const live = verdict('green', 'v1', true, 1)
  const gate = verdict('red', 'v2', false, 2)
  recordChecks(catalog, [live, gate])
  assert.deepEqual(lastCheck(catalog, 'c', { v: 'v1', other: 'x' }), live)
  assert.deepEqual(lastCheck(catalog, 'c', { v: 'v2' }), gate, 'after its cutover')
  assert.equal(lastCheck(catalog, 'c', { v: 'v3' }), undefined)
  assert.equal(lastCheck(catalog, 'd', { v: 'v1' }), undefined)
  assert.deepEqual(checkResults(catalog, 10), [live, gate])
})

test('a first green is no change, a first red is one', () => {
  assert.equal(changes(verdict('green', 'v1', true)), false)
  assert.equal(changes({ ...verdict('red', 'v1', true), name: 'd' }), true)
})

test('a verdict is held against the last about the same versions, else about what answered', () => {
  const steps: readonly (readonly [StoredCheck, boolean])[] = [
    [verdict('green', 'v1', true), false],
    [verdict('red', 'v2', false), true],
    [verdict('red', 'v2', false), false],
    [verdict('green', 'v1', true), false],
    // v2 answers now, accepted as it is
    [verdict('red', 'v2', true), false],
    [verdict('error', 'v2', true), true],
    [verdict('green', 'v2', true), true],
    // v3 came without a gate
    [verdict('green', 'v3', true), false],
    [verdict('red', 'v4', true), true],
  ]
  for (const [index, [result, expected]] of steps.entries()) {
    assert.equal(changes(result), expected, `step ${index}`)
  }
  const entries = audit(catalog, 100).filter(({ what }) => what === 'check changed colour')
  assert.deepEqual(
    entries.map(({ details }) => [(details as { from: string }).from, (details as { to: string }).to]),
    [
      [null, 'red'],
      ['red', 'error'],
      ['error', 'green'],
      ['green', 'red'],
    ],
  )
})

test('the newest thousand of a check are kept', () => {
  const many = Array.from({ length: 1_010 }, (_, index) => verdict('green', 'v1', true, index))
  recordChecks(catalog, many)
  recordChecks(catalog, [{ ...verdict('green', 'v1', true), name: 'other' }])
  const kept = checkResults(catalog, 5_000)
  assert.equal(kept.length, 1_001)
  assert.equal(kept[0]?.cut, 10)
})
