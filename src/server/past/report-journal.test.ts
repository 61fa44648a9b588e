/**
 * The report journal over a real catalog: whatever answers show, in whatever order, the entry at an answer's moment
 * says its cut, versions and T, also after a restart, after the process was killed, and while nothing was written.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import fc from 'fast-check'
import { recordCut } from '../../catalog/journal.ts'
import { type Catalog, catalogPath, openCatalog } from '../../catalog/open-catalog.ts'
import { appendReports, reportAt, reports, thinReports } from '../../catalog/reports.ts'
import type { Serving } from '../../catalog/versions.ts'
import type { StallInfo } from '../../engine/engine.ts'
import { ManualClock } from '../../std/manual-clock.ts'
import { nextTurn } from '../../std/turn.ts'
import { ReportJournal } from './report-journal.ts'
import { openReportTail } from './report-tail.ts'

let folder: string
let catalog: Catalog
let clock: ManualClock
let pointers: Serving
let journal: ReportJournal

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-reports-'))
  clock = new ManualClock(1_800_000_000_000)
  catalog = openCatalog(catalogPath(folder), { clock })
  pointers = { a: 'a1', b: 'b1' }
  journal = open()
})
afterEach(() => {
  journal.close()
  catalog.close()
  rmSync(folder, { recursive: true, force: true })
})

function open(): ReportJournal {
  return new ReportJournal({ catalog, clock, serving: () => pointers, tail: openReportTail(folder) })
}

function write(): void {
  journal.write((entries) => recordCut(catalog, undefined, entries))
}

interface Answer {
  readonly cut: number
  readonly versions: Serving
  readonly stalledAt?: Readonly<Record<string, number>>
  readonly batches?: Readonly<Record<string, number>>
}

function stamp({ stalledAt, ...answer }: Answer): number {
  const stall = {} as StallInfo
  const stalled = Object.fromEntries(Object.keys(stalledAt ?? {}).map((view) => [view, stall]))
  return journal.stamp({ ...answer, stalled, ...(stalledAt === undefined ? {} : { stalledAt }) }, false)
}

/** What the journal says of an answer's views at a moment. */
function said(us: number, { versions }: Answer): unknown {
  const entry = journal.at(us)
  return Object.keys(versions).map((view) => [
    ...[view, entry.versions[view], entry.stalledAt[view] ?? entry.cut],
    entry.batches[view],
  ])
}

function shown({ cut, versions, stalledAt, batches }: Answer): unknown {
  return Object.entries(versions).map(([view, version]) => [
    ...[view, version, stalledAt?.[view] ?? cut],
    batches?.[view],
  ])
}

const steps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('answer' as const),
      back: fc.nat(3),
      views: fc.constantFrom<string[]>(['a'], ['b'], ['a', 'b'], []),
      old: fc.boolean(),
      stalled: fc.boolean(),
    }),
    fc.record({
      kind: fc.constantFrom(
        ...(['tick', 'write', 'cutover', 'note', 'batch', 'kappa'] as const satisfies readonly string[]),
      ),
    }),
    // No process comes back within the millisecond in which the one before it answered.
    fc.record({
      kind: fc.constantFrom('restart' as const, 'kill' as const),
      ms: fc.integer({ min: 1, max: 5 }),
    }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(2000) }),
  ),
  { maxLength: 60 },
)

test('at every moment the journal says what the answer of that moment showed', () => {
  fc.assert(
    fc.property(steps, (history) => {
      let cut = 5
      pointers = { a: 'a1', b: 'b1' }
      let version = 1
      let batches: Readonly<Record<string, number>> = {}
      const answers: { us: number; answer: Answer }[] = []
      for (const step of history) {
        if (step.kind === 'tick') cut++
        else if (step.kind === 'write') write()
        else if (step.kind === 'note') journal.note(cut, {}, batches)
        else if (step.kind === 'batch') batches = { ...batches, [cut % 2 === 0 ? 'a' : 'b']: cut }
        else if (step.kind === 'kappa') batches = {}
        else if (step.kind === 'pass') clock.advance(step.ms)
        else if (step.kind === 'cutover') pointers = { ...pointers, a: `a${++version}` }
        else if (step.kind === 'answer') {
          const own = (view: string) =>
            step.old && view === 'a' ? `a${Math.max(1, version - 1)}` : pointers[view]!
          const versions = Object.fromEntries(step.views.map((view) => [view, own(view)]))
          const stands = step.stalled && step.views.includes('b') ? { b: 3 } : undefined
          const at = step.views.length === 1 && stands !== undefined ? 3 : cut - step.back
          const layers = Object.entries(batches).filter(([view]) => step.views.includes(view))
          const answer = {
            ...{ cut: at, versions },
            ...(stands === undefined ? {} : { stalledAt: stands }),
            // Views without a batch layer are not named.
            ...(layers.length === 0 ? {} : { batches: Object.fromEntries(layers) }),
          }
          answers.push({ us: stamp(answer), answer })
        } else if (step.kind === 'restart' || step.kind === 'kill') {
          if (step.kind === 'restart') write()
          journal.close()
          clock.advance(step.ms)
          journal = open()
        }
        for (const { us, answer } of answers) assert.deepEqual(said(us, answer), shown(answer))
      }
      const moments = answers.map(({ us }) => us)
      assert.deepEqual(
        moments,
        [...new Set(moments)].sort((x, y) => x - y),
      )
    }),
    { numRuns: Number(process.env['REFOLD_RUNS'] ?? 100) },
  )
})

test('most answers make no entry, and late ones that come together make two', async () => {
  for (let answer = 0; answer < 1000; answer++) stamp({ cut: 7, versions: { a: 'a1' } })
  assert.equal(journal.recent(100).length, 1)
  stamp({ cut: 8, versions: { b: 'b1' } })
  for (let answer = 0; answer < 256; answer++) stamp({ cut: 7, versions: { a: 'a1' } })
  await nextTurn()
  assert.deepEqual(
    journal.recent(100).map(({ cut }) => cut),
    [7, 8, 7, 8],
  )
})

test('a cutover that nobody has read yet is known, and so is a view that is gone', () => {
  stamp({ cut: 7, versions: { a: 'a1' } })
  clock.advance(10)
  pointers = { a: 'a2' }
  journal.note(9, {}, {})
  clock.advance(10)
  const { cut, versions } = journal.at(clock.nowMs() * 1000)
  assert.deepEqual([cut, versions], [9, { a: 'a2' }])
})

test('moments before the first report and ahead are unknown', () => {
  assert.throws(() => journal.at(clock.nowMs() * 1000), {
    code: 'MOMENT_UNKNOWN',
    message: /nothing was reported yet/,
  })
  const us = stamp({ cut: 7, versions: { a: 'a1' } })
  write()
  assert.throws(() => journal.at(us - 1), { code: 'MOMENT_UNKNOWN', message: /the first report is of/ })
  assert.throws(() => journal.at(us + 60_000_000), { code: 'MOMENT_UNKNOWN', message: /lies ahead/ })
})

test('old entries are thinned to the last of each second, many to a row', () => {
  const start = 1_700_000_000_000_000
  for (let row = 0; row < 700; row++) {
    const entries = [0, 300_000, 900_000].map((after, index) => {
      const us = start + row * 1_000_000 + after
      return { us, cut: row * 3 + index, versions: pointers, stalledAt: {}, batches: { a: row } }
    })
    recordCut(catalog, undefined, entries)
  }
  const limit = start + 650 * 1_000_000
  while (thinReports(catalog, limit));
  assert.equal(reportAt(catalog, start + 10 * 1_000_000 + 950_000)?.cut, 32)
  assert.deepEqual(reportAt(catalog, start + 10 * 1_000_000 + 950_000)?.batches, { a: 10 })
  // The entries before it are gone, so that it holds from the end of its second.
  assert.equal(reportAt(catalog, start + 10 * 1_000_000 + 500_000)?.cut, 29)
  assert.equal(reportAt(catalog, start + 680 * 1_000_000 + 500_000)?.cut, 2041)
  assert.equal(reports(catalog, 10_000).length, 650 + 50 * 3)
  const rows = () => Number(catalog.get('SELECT count(*) AS n FROM reports')?.n)
  assert.ok(rows() <= 2 + 50)
  while (thinReports(catalog, limit));
  assert.equal(rows(), 2 + 50)
})

test('entries of one write are one row, and version sets are kept once', () => {
  const sets = () => Number(catalog.get('SELECT count(*) AS n FROM version_sets')?.n)
  for (let cut = 1; cut < 10; cut++) stamp({ cut, versions: { a: 'a1' } })
  write()
  assert.equal(sets(), 1)
  assert.equal(catalog.all('SELECT id FROM reports').length, 1)
  catalog.transaction('record-cut', () => appendReports(catalog, []))
  assert.equal(catalog.all('SELECT id FROM reports').length, 1)
})
