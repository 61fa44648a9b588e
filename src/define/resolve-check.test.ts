/** Mistakes in declared checks: whole project files, each mistake with code, place and what to do instead. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { loadProject } from './load.ts'

const folders: string[] = []
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

const head = `import { check, project, stream, view } from 'refold'
import { z } from 'zod'
const events = stream('events', { schema: z.object({ id: z.string() }), id: 'id' })
const daily = view('daily', { sql: 'SELECT id, count(*) AS n FROM events GROUP BY id' })
`

async function load(checks: readonly string[]) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'refold-check-'))
  folders.push(folder)
  const list = checks.map((check) => `  ${check},\n`).join('')
  const text = `${head}export default project({ streams: [events], views: [daily], checks: [\n${list}] })\n`
  await writeFile(path.join(folder, 'refold.config.ts'), text)
  return { folder, loaded: await loadProject(folder) }
}

/** `column CODE message | hint` of each mistake in one check. */
async function mistakes(check: string): Promise<string[]> {
  const { loaded } = await load([check])
  assert.ok(!loaded.ok, `${check} was accepted`)
  return loaded.mistakes.map(({ code, message, hint, place }) => {
    assert.equal(place?.line, 6, message)
    assert.match(place?.file ?? '', /refold\.config\.ts$/)
    return `${place?.column} ${code} ${message} | ${hint}`
  })
}

test('checks become plain data', async () => {
  const { folder, loaded } = await load([
    `check('none', { sql: 'SELECT * FROM daily', every: '15m' })`,
    `check('bill', { sql: 'SELECT 1 AS n', truth: { file: 'truth/b.JSONL.gz' }, tolerance: { n: { absolute: 1.5e-7, relative: 1e2 } } })`,
    `check('call', { sql: 'SELECT 1 AS n', truth: async () => [], key: ['n'], timeout: '2m', every: 1000, cutover: false })`,
    `check('few', { view: 'DAILY', changed: { share: 0.01 } })`,
    `check('some', { view: 'daily', rows: { min: 0, max: 5 } })`,
  ])
  assert.ok(loaded.ok, JSON.stringify(loaded))
  const file = path.join(folder, 'refold.config.ts')
  const sql = (line: number, column: number, text: string) => ({
    sql: text,
    sqlPlace: { file, line, column },
  })
  assert.deepEqual(
    loaded.project.checks.map(({ place, ...check }) => check),
    [
      {
        ...{ name: 'none', cutover: true, everyMs: 900_000, timeoutMs: 30_000 },
        rule: { kind: 'nothing', ...sql(6, 25, 'SELECT * FROM daily') },
      },
      {
        ...{ name: 'bill', cutover: true, timeoutMs: 30_000 },
        rule: {
          ...{ kind: 'truth', ...sql(7, 25, 'SELECT 1 AS n'), key: [] },
          truth: { kind: 'file', path: path.join(folder, 'truth/b.JSONL.gz'), format: 'json' },
          tolerance: { n: { absolute: '0.00000015', relative: '100' } },
        },
      },
      {
        ...{ name: 'call', cutover: false, everyMs: 1000, timeoutMs: 120_000 },
        rule: {
          ...{ kind: 'truth', ...sql(8, 25, 'SELECT 1 AS n'), key: ['n'], tolerance: {} },
          truth: { kind: 'function', file },
        },
      },
      {
        ...{ name: 'few', cutover: true, timeoutMs: 30_000 },
        rule: { kind: 'changed', view: 'daily', limit: { share: 0.01 } },
      },
      {
        ...{ name: 'some', cutover: true, timeoutMs: 30_000 },
        rule: { kind: 'rows', view: 'daily', min: 0, max: 5 },
      },
    ],
  )
  assert.deepEqual(loaded.project.checks[0]?.place, { file, line: 6, column: 3 })
})

const cases: Readonly<Record<string, readonly string[]>> = {
  [`check('a b', { sql: 'SELECT 1' })`]: [
    '9 PROJECT_NAME check "a b" has a name that is not allowed | Use up to 63 letters, digits and "_", beginning with a letter.',
  ],
  [`check('x')`]: [`3 CHECK_INVALID check "x" has no options | Write check('NAME', { sql: 'SELECT …' }).`],
  [`check('x', { evry: '1m' })`]: [
    `3 CHECK_INVALID check "x": it says nothing that could be checked | Give it \`sql: 'SELECT …'\`, or \`view: 'NAME'\` with \`changed\` or \`rows\`.`,
    '22 CHECK_INVALID check "x": there is no option "evry" | Did you mean "every"?',
  ],
  [`check('x', { sql: ' ' })`]: [
    '21 CHECK_INVALID check "x": the SQL is empty or no text | Give it a SELECT over views and streams.',
  ],
  [`check('x', { sql: 'SELECT 1', view: 'daily' })`]: [
    '39 CHECK_INVALID check "x": it is over `sql` and over a `view` | Declare two checks.',
  ],
  [`check('x', { sql: 'SELECT 1', rows: { min: 1 }, key: [], tolerance: {} })`]: [
    `39 CHECK_INVALID check "x": \`rows\` goes with \`view\`, not with \`sql\` | Give it \`view: 'NAME'\` instead.`,
    '56 CHECK_INVALID check "x": `key` goes with `truth` | Add `truth`, or leave it out.',
    '71 CHECK_INVALID check "x": `tolerance` goes with `truth` | Add `truth`, or leave it out.',
  ],
  [`check('x', { sql: 'SELECT 1', truth: 'b.csv' })`]: [
    `40 CHECK_INVALID check "x": \`truth\` is neither a file nor a function | Write \`{ file: 'truth/totals.csv' }\`, or a function that gives rows.`,
  ],
  [`check('x', { sql: 'SELECT 1', truth: { file: '../b.csv' } })`]: [
    '48 CHECK_INVALID check "x": "../b.csv" lies outside the folder of the project | Put it into the folder, or a link to it.',
  ],
  [`check('x', { sql: 'SELECT 1', truth: { file: '/etc/b.csv' } })`]: [
    '48 CHECK_INVALID check "x": "/etc/b.csv" lies outside the folder of the project | Put it into the folder, or a link to it.',
  ],
  [`check('x', { sql: 'SELECT 1', truth: { file: 'b.xlsx' } })`]: [
    '48 CHECK_INVALID check "x": the kind of "b.xlsx" is not known | Let its name end in .csv, .json, .ndjson or .parquet.',
  ],
  [`check('x', { sql: 'SELECT 1', truth: { file: '*.csv', fil: 1 } })`]: [
    '48 CHECK_INVALID check "x": "*.csv" is no name of one file | Name one file, without * ? [ and ].',
    '62 CHECK_INVALID check "x": `truth` has no option "fil" | Did you mean "file"?',
  ],
  [`check('x', { sql: 'SELECT 1', truth: () => [], key: ['a', 'a'], tolerance: { a: {}, b: {}, c: { abs: 1, relative: -1 } } })`]:
    [
      '55 CHECK_INVALID check "x": column "a" is in `key` twice | Name it once.',
      '83 CHECK_INVALID check "x": column "a" is in `key`, which tells rows apart | Give a tolerance to other columns.',
      `90 CHECK_INVALID check "x": the tolerance of "b" has no bound | Write \`{ absolute: '0.01' }\` or \`{ relative: 0.001 }\`.`,
      '104 CHECK_INVALID check "x": a tolerance has no "abs" | Known: absolute, relative.',
      `117 CHECK_INVALID check "x": -1 is no number from 0 on | Write it as '0.01' or 0.01.`,
    ],
  [`check('x', { view: 'dayly', rows: { min: 1 } })`]: [
    '22 CHECK_INVALID check "x": the project has no view "dayly" | Did you mean "daily"?',
  ],
  [`check('x', { view: 'daily' })`]: [
    '22 CHECK_INVALID check "x": it says nothing of view "daily" | Add `changed: { rows: 100 }` or `rows: { min: 1 }`.',
  ],
  [`check('x', { view: 'daily', rows: { min: 2, max: 1 } })`]: [
    '37 CHECK_INVALID check "x": `min` 2 is above `max` 1 | Swap the two.',
  ],
  [`check('x', { view: 'daily', rows: { min: 1.5 }, key: ['a'] })`]: [
    '44 CHECK_INVALID check "x": 1.5 is no whole number | Write `{ min: 1 }`, `{ max: 1000 }` or both.',
    '56 CHECK_INVALID check "x": `key` goes with `sql`, not with `view` | Give it `sql` instead of `view`.',
  ],
  [`check('x', { view: 'daily', changed: { share: 5 } })`]: [
    '49 CHECK_INVALID check "x": the limit is neither a whole number of rows nor a share from 0 to 1 | Write `{ rows: 100 }`, or `{ share: 0.01 }` for one per cent.',
  ],
  [`check('x', { view: 'daily', changed: { rows: 5 }, every: '1h' })`]: [
    '60 CHECK_INVALID check "x": rows change at a cutover, and only there | Leave out `every` and `cutover`.',
  ],
  [`check('x', { sql: 'SELECT 1', cutover: false })`]: [
    `42 CHECK_INVALID check "x": it would never run | Add \`every: '15m'\`, or leave out \`cutover\`.`,
  ],
  [`check('x', { sql: 'SELECT 1', every: '5', timeout: '2h' })`]: [
    `40 CHECK_INVALID check "x": "5" is no duration of a second or more | Write it such as '15m'.`,
    `54 CHECK_INVALID check "x": "2h" is no duration from 1 ms to 1 h | Write it such as '30s'.`,
  ],
}

for (const [source, expected] of Object.entries(cases)) {
  test(`mistakes of ${source}`, async () => assert.deepEqual(await mistakes(source), expected))
}

test('two checks of one name are told apart by nobody', async () => {
  const { loaded } = await load([`check('x', { sql: 'SELECT 1' })`, `check('X', { sql: 'SELECT 1' })`])
  assert.ok(!loaded.ok)
  assert.deepEqual(
    loaded.mistakes.map(({ code, message, place }) => [code, message, place?.line]),
    [['PROJECT_NAME', 'check "X": there already is a check of this name', 7]],
  )
})

test('what is no check is refused', async () => {
  const { loaded } = await load(['daily'])
  assert.ok(!loaded.ok)
  assert.deepEqual(
    loaded.mistakes.map(({ message }) => message),
    ['`checks` holds something that check() did not make'],
  )
})
