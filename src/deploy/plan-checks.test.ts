/** What counts as a changed check: what it says and when it runs, not where it stands. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CheckDef } from '../define/types.ts'
import { checkChanges } from './plan-checks.ts'

function check(name: string, sql: string, line: number, everyMs?: number): CheckDef {
  const place = { file: 'refold.config.ts', line, column: 3 }
  const rule = { kind: 'nothing', sql, sqlPlace: place } as const
  return {
    name,
    place,
    rule,
    cutover: true,
    timeoutMs: 30_000,
    ...(everyMs === undefined ? {} : { everyMs }),
  }
}

test('new, changed and removed checks are named; one that moved is the same', () => {
  const before = [
    check('same', 'a', 1),
    check('sql', 'a', 2),
    check('rhythm', 'a', 3, 1000),
    check('gone', 'a', 4),
  ]
  const after = [
    check('new', 'a', 1),
    check('same', 'a', 9),
    check('sql', 'b', 2),
    check('rhythm', 'a', 3, 2000),
  ]
  assert.deepEqual(checkChanges(before, after), [
    { check: 'new', change: 'new' },
    { check: 'sql', change: 'changed' },
    { check: 'rhythm', change: 'changed' },
    { check: 'gone', change: 'removed' },
  ])
  assert.deepEqual(checkChanges(after, [...after].reverse()), [])
})

test('the order of members is no change', () => {
  const one = check('c', 'a', 1, 1000)
  const { everyMs, ...rest } = one
  assert.deepEqual(checkChanges([one], [{ everyMs: everyMs ?? 0, ...rest }]), [])
})
