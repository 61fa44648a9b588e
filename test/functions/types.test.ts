/**
 * Values of every type that functions take and give: what a function sees, what comes back, live and in bulk, against
 * plain JavaScript over the events that were sent. Two definitions, row events and `expect` call functions as well.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { projectFile, SensorServer } from '../support/sensor-server.ts'

let sensors: SensorServer

beforeEach(() => {
  sensors = new SensorServer()
})
afterEach(() => sensors.dispose())

const kinds: readonly (readonly [type: string, sql: string, seen: string, back: string])[] = [
  ["'BOOLEAN'", 'heat > 2', 'boolean:true', 'true'],
  ["'INTEGER'", 'heat::INTEGER', 'number:3', '3'],
  ["'BIGINT'", '9007199254740993 + heat::BIGINT', 'bigint:"9007199254740996"', '9007199254740996'],
  ["'DOUBLE'", 'heat / 2', 'number:1.5', '1.5'],
  ["'VARCHAR'", "sensor || ' é✓'", 'string:"s é✓"', 's é✓'],
  ["'DATE'", '"at"::DATE', 'string:"2024-05-01"', '2024-05-01'],
  ["'TIMESTAMP'", '"at"', 'string:"2024-05-01T00:00:07.000Z"', '2024-05-01 00:00:07'],
  [
    "'TIMESTAMP'",
    `"at" + INTERVAL '5 microseconds'`,
    'string:"2024-05-01T00:00:07.000005Z"',
    '2024-05-01 00:00:07.000005',
  ],
  [
    "'UUID'",
    "'4f1c2b9e-0000-4000-8000-00000000000a'::UUID",
    'string:"4f1c2b9e-0000-4000-8000-00000000000a"',
    '4f1c2b9e-0000-4000-8000-00000000000a',
  ],
  ["'DECIMAL(30,4)'", '(heat + 0.25)::DECIMAL(30,4)', 'string:"3.2500"', '3.2500'],
  ["'JSON'", `'{"a":[1,null,"x"]}'::JSON`, 'object:{"a":[1,null,"x"]}', '{"a":[1,null,"x"]}'],
  ["'DOUBLE[]'", '[heat, NULL, 0.5]', 'object:[3,null,0.5]', '[3.0, NULL, 0.5]'],
  ["'VARCHAR[]'", "[sensor, 'b']", 'object:["s","b"]', '[s, b]'],
  ['z.number()', 'heat', 'number:3', '3.0'],
  ['z.int()', 'heat::BIGINT', 'number:3', '3'],
  ['int64()', '9007199254740993', 'string:"9007199254740993"', '9007199254740993'],
  ['decimal(10, 2)', '(heat)::DECIMAL(10,2)', 'string:"3.00"', '3.00'],
  ['z.iso.datetime()', '"at"', 'string:"2024-05-01T00:00:07.000Z"', '2024-05-01 00:00:07'],
]

test('every type comes and goes as it is', async () => {
  const functions = kinds.map(([type], index) => {
    const seen = `fn('seen_${index}', { args: [${type}], returns: 'VARCHAR', call: (value) => typeof value + ':' + JSON.stringify(value, plain) })`
    const back = `fn('back_${index}', { args: [${type}], returns: ${type}, call: (value) => value })`
    return `export const seen${index} = ${seen}\nexport const back${index} = ${back}`
  })
  const names = kinds.flatMap((_, index) => [`seen${index}`, `back${index}`])
  const columns = kinds.map(
    ([, sql], index) =>
      `seen_${index}(${sql}) AS s${index}, CAST(back_${index}(${sql}) AS VARCHAR) AS b${index}`,
  )
  sensors.write({
    'logic/all.ts': `import { decimal, fn, int64 } from 'refold'
import { z } from 'zod'
const plain = (_key: string, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)
${functions.join('\n')}
`,
    'refold.config.ts': projectFile(Object.fromEntries(names.map((name) => [name, './logic/all.ts'])), {
      all_types: `SELECT id, ${columns.join(', ')} FROM readings`,
    }),
  })
  await sensors.open()
  const cut = await sensors.send([{ sensor: 's', second: 7, heat: 3 }])
  const [row] = await sensors.rows('all_types', cut)
  for (const [index, [type, sql, seen, back]] of kinds.entries()) {
    assert.equal(row?.[`s${index}`], seen, `${type} sees ${sql}`)
    assert.equal(String(row?.[`b${index}`]), back, `${type} gives back ${sql}`)
  }
})

test('NULL is skipped or passed, in single and vectorised calls', async () => {
  sensors.write({
    'logic/nulls.ts': `import { fn } from 'refold'
export const skips = fn('skips', { args: ['DOUBLE', 'DOUBLE'], returns: 'DOUBLE', call: (a, b) => a + b })
export const passes = fn('passes', { args: ['DOUBLE', 'DOUBLE'], returns: 'VARCHAR', nulls: 'pass', call: (a, b) => String(a) + '|' + String(b) })
export const rows = fn('rows_at_once', { args: ['DOUBLE', 'DOUBLE'], returns: 'DOUBLE', vector: ([a, b]) => Array.from(a, (x, at) => x * (b[at] ?? NaN)) })
export const all = fn('all_at_once', { args: ['DOUBLE'], returns: 'INTEGER', nulls: 'pass', vector: ([a]) => Array.from(a, (x) => (x === null ? -1 : 1)) })
export const none = fn('gives_null', { args: ['DOUBLE'], returns: 'DOUBLE', call: (x) => (x > 1 ? null : x) })
`,
    'refold.config.ts': projectFile(
      Object.fromEntries(
        ['skips', 'passes', 'rows', 'all', 'none'].map((name) => [name, './logic/nulls.ts']),
      ),
      {
        v: 'SELECT id, skips(heat, shake) AS a, passes(heat, shake) AS b, rows_at_once(heat, shake) AS c, all_at_once(shake) AS d, gives_null(heat) AS e FROM readings',
      },
    ),
  })
  await sensors.open()
  const cut = await sensors.send([
    { sensor: 's', second: 1, heat: 1, shake: 2 },
    { sensor: 's', second: 2, heat: 3 },
    { sensor: 's', second: 3, heat: 5, shake: 4 },
  ])
  const rows = (await sensors.rows('v', cut)).toSorted((x, y) => (String(x['id']) < String(y['id']) ? -1 : 1))
  assert.deepEqual(rows, [
    { id: 'r0', a: 3, b: '1|2', c: 2, d: 1, e: 1 },
    { id: 'r1', a: null, b: '3|null', c: null, d: -1, e: null },
    { id: 'r2', a: 9, b: '5|4', c: 20, d: 1, e: null },
  ])
})

test('two definitions call functions in both layers, and a merge of them is what plain JavaScript gives', async () => {
  sensors.write({
    'logic/level.ts': `import { fn } from 'refold'
export const level = fn('level', { args: ['DOUBLE'], returns: 'INTEGER', call: (heat) => Math.floor(heat / 10) })
`,
    'refold.config.ts': `import { lambda, project, view } from 'refold'
import { readings } from './readings.ts'
import { level } from './logic/level.ts'
export default project({
  streams: [readings], functions: [level],
  views: [view('levels', {
    batch: 'SELECT sensor, max(level(heat)) AS top, count(*) AS n FROM readings GROUP BY sensor',
    speed: 'SELECT sensor, max(level(heat)) AS top, count(*) AS n FROM readings GROUP BY sensor',
    key: ['sensor'], merge: { top: 'max', n: 'add' }, run: lambda({ every: '1h' }),
  })],
})
`,
  })
  await sensors.open()
  await sensors.send([
    { sensor: 'a', second: 1, heat: 15 },
    { sensor: 'b', second: 2, heat: 99 },
  ])
  const { state, reason } = await sensors.server.core.batches.run('levels', { wait: true })
  assert.deepEqual([state, reason], ['published', null])
  const cut = await sensors.send([
    { sensor: 'a', second: 3, heat: 42 },
    { sensor: 'b', second: 4, heat: 5 },
  ])
  const rows = (await sensors.rows('levels', cut)).toSorted((x, y) =>
    String(x['sensor']) < String(y['sensor']) ? -1 : 1,
  )
  assert.deepEqual(rows, [
    { sensor: 'a', top: 4, n: 2 },
    { sensor: 'b', top: 9, n: 2 },
  ])
  const config = readFileSync(join(sensors.folder, 'refold.config.ts'), 'utf8')
  sensors.write({ 'refold.config.ts': config.replace("top: 'max'", "top: { sql: 'level(batch.top)' }") })
  await assert.rejects(sensors.deploy(), (error: Error) => {
    assert.match(error.message, /calls "level", a function in TypeScript, which a merge cannot/)
    return true
  })
})
