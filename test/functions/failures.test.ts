/**
 * Functions in TypeScript that fail: on single events live and in bulk, without end, with what is not their type, for
 * want of their code; and those that are refused before a version is made with them.
 */

import assert from 'node:assert/strict'
import { existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ProjectMistakes } from '../../src/server/checked-project.ts'
import { projectFile, type Reading, SensorServer } from '../support/sensor-server.ts'

let sensors: SensorServer

beforeEach(() => {
  sensors = new SensorServer()
})
afterEach(() => sensors.dispose())

/** `body` sees `heat`. */
function single(
  body: string,
  sql: string,
  options: { readonly more?: string; readonly onError?: 'skip' } = {},
): void {
  const view = options.onError === undefined ? '' : `, onError: 'skip'`
  sensors.write({
    'logic/check.ts': `import { fn } from 'refold'

function inner(heat: number): number {
  ${body}
}

export const check = fn('check_heat', {
  args: ['DOUBLE'], returns: 'DOUBLE', ${options.more ?? ''}
  call: (heat) => inner(heat),
})
`,
    'refold.config.ts': projectFile(
      { check: './logic/check.ts' },
      { checked: sql, plain: 'SELECT count(*) AS n FROM readings' },
      view,
    ),
  })
}

const readings = (heats: readonly number[]): Omit<Reading, 'id'>[] =>
  heats.map((heat, second) => ({ sensor: 's', second, heat }))

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 30_000
  while (!(await holds())) {
    assert.ok(Date.now() < end, `${what} in time`)
    await sleep(50)
  }
}

const PER_SENSOR =
  'SELECT sensor, count(*) AS n, sum(check_heat(heat)) AS total FROM readings GROUP BY sensor'
const NOT_13 = `if (heat === 13) throw new RangeError('thirteen is bad luck')
  return heat * 2`

test('an event that a function throws on is skipped live and in bulk, with message, place and stack', async () => {
  single(NOT_13, PER_SENSOR, { onError: 'skip' })
  await sensors.open()
  const cut = await sensors.send(readings([1, 2, 13, 4, 13, 6]))
  await until('both are skipped', async () => {
    const [row] = await sensors.rows('checked', cut)
    return row?.['n'] === 4
  })
  assert.deepEqual(await sensors.rows('checked', cut), [{ sensor: 's', n: 4, total: 26 }])
  const skipped = await sensors.sql('SELECT * FROM refold.skipped ORDER BY commit, index')
  assert.equal(skipped.length, 2)
  for (const one of skipped) {
    assert.match(
      String(one['message']),
      /function "check_heat" failed: thirteen is bad luck at logic\/check\.ts:4:26; arguments: 13/,
    )
    assert.match(String(one['stack']), /at inner \(logic\/check\.ts:4:26\)\n.*logic\/check\.ts:10:/)
    assert.equal(one['code'], 'LOGIC_FAILED')
  }
  // In bulk: a version with another column folds all of history in a worker, and leaves out the same events.
  await sensors.flush()
  single(NOT_13, PER_SENSOR.replace('AS n,', 'AS n, max(heat) AS top,'), { onError: 'skip' })
  const info = await sensors.deploy()
  assert.equal(info.state, 'live', JSON.stringify(info))
  assert.deepEqual(await sensors.rows('checked', cut), [{ sensor: 's', n: 4, top: 6, total: 26 }])
  const all = await sensors.sql(
    'SELECT count(*) AS n, count(DISTINCT version) AS versions, min(message) = max(message) AS same, count(stack) AS stacks FROM refold.skipped',
  )
  assert.deepEqual(all, [{ n: 4, versions: 2, same: true, stacks: 4 }])
})

test('without onError the view stalls before the event, and the others go on', async () => {
  single(NOT_13, PER_SENSOR)
  await sensors.open()
  const first = await sensors.send(readings([1, 2]))
  await sensors.rows('checked', first)
  const cut = await sensors.send(readings([3, 13, 5]))
  assert.deepEqual(await sensors.rows('plain', cut), [{ n: 5 }])
  assert.deepEqual(await sensors.rows('checked'), [{ sensor: 's', n: 2, total: 6 }])
  await assert.rejects(
    sensors.rows('checked', cut),
    /stands still: .*thirteen is bad luck at logic\/check\.ts:4:26/,
  )
})

test('an endless loop fails its event; the engine lives on', async () => {
  single('while (heat === 13) {}\n  return heat * 2', PER_SENSOR, { onError: 'skip' })
  await sensors.open()
  await sensors.send(readings([1]))
  const pid = sensors.server.enginePid()
  const cut = await sensors.send(readings([2, 13, 4, ...Array.from({ length: 100 }, (_, n) => n + 20)]))
  const total = 2 * (1 + 2 + 4 + Array.from({ length: 100 }, (_, n) => n + 20).reduce((a, b) => a + b))
  await until('the event is skipped', async () => (await sensors.rows('checked', cut))[0]?.['n'] === 103)
  assert.deepEqual(await sensors.rows('checked', cut), [{ sensor: 's', n: 103, total }])
  const [skipped] = await sensors.sql('SELECT message FROM refold.skipped')
  assert.match(String(skipped?.['message']), /function "check_heat" did not end within 2000 ms/)
  assert.equal(sensors.server.enginePid(), pid)
})

test('a result of another type than declared fails its event', async () => {
  single("return heat > 2 ? ('warm' as never) : heat", PER_SENSOR, { onError: 'skip' })
  await sensors.open()
  const cut = await sensors.send(readings([1, 2, 3]))
  await until('it is skipped', async () => (await sensors.rows('checked', cut))[0]?.['n'] === 2)
  const [skipped] = await sensors.sql('SELECT message FROM refold.skipped')
  assert.match(String(skipped?.['message']), /it gave "warm", which is no DOUBLE/)
})

test('a view whose code is gone waits, also with onError skip, and goes on once it is back', async () => {
  single('return heat * 2', PER_SENSOR, { onError: 'skip' })
  await sensors.open()
  const first = await sensors.send(readings([1, 2]))
  await sensors.rows('checked', first)
  await sensors.close()
  const store = join(sensors.folder, 'data', 'code')
  renameSync(store, `${store}-away`)
  await sensors.open()
  const cut = await sensors.send(readings([3]))
  assert.deepEqual(await sensors.rows('plain', cut), [{ n: 3 }])
  await assert.rejects(
    sensors.rows('checked', cut),
    /function "check_heat" cannot be loaded: the code [0-9a-f]{12} is not in/,
  )
  assert.deepEqual(await sensors.sql('SELECT * FROM refold.skipped'), [])
  if (existsSync(store)) renameSync(store, `${store}-empty`)
  renameSync(`${store}-away`, store)
  await until('it goes on', async () => (await sensors.rows('checked'))[0]?.['n'] === 3)
  assert.deepEqual(await sensors.rows('checked', cut), [{ sensor: 's', n: 3, total: 12 }])
})

// ---- refused before a version is made -----------------------------------------------------------------------------

/** Code and message of each mistake, and where it stands in the project's folder. */
async function refused(): Promise<string[]> {
  try {
    await sensors.open()
  } catch (error) {
    assert.ok(error instanceof ProjectMistakes, String(error))
    return error.mistakes.map(({ code, message, hint, place }) => {
      return `${code} ${place?.file?.slice(sensors.folder.length + 1)}:${place?.line}:${place?.column} ${message} | ${hint}`
    })
  }
  return []
}

test('what does not give the same twice is refused, and so is the clock', async () => {
  single('return heat + Math.random()', PER_SENSOR)
  const [chance, ...more] = await refused()
  assert.match(
    chance ?? '',
    /LOGIC_IMPURE logic\/check\.ts:7:22 .*may not use Math\.random\(\) while it runs.*logic\/check\.ts:4:/,
  )
  assert.deepEqual(more, [])
  single('return heat + (globalThis as any).calls++', PER_SENSOR, { more: '' })
  sensors.write({
    'logic/check.ts': `import { fn } from 'refold'
let calls = 0
export const check = fn('check_heat', { args: ['DOUBLE'], returns: 'DOUBLE', call: (heat) => heat + calls++ })
`,
  })
  sensors.project = undefined
  assert.match((await refused())[0] ?? '', /LOGIC_IMPURE .*one thing and then another for the same arguments/)
})

test('calls that do not fit are refused where they stand, with what would fit', async () => {
  const sql = [
    [
      'SELECT check_heat(sensor) AS x FROM readings',
      /VIEW_INVALID .*check_heat\(VARCHAR\).*check_heat\(DOUBLE\) → DOUBLE/,
    ],
    [
      'SELECT check_heat(heat, shake) AS x FROM readings',
      /VIEW_INVALID .*check_heat.*declared as check_heat\(DOUBLE\)/,
    ],
    [
      'SELECT chek_heat(heat) AS x FROM readings',
      /VIEW_FUNCTION_UNKNOWN .*chek_heat.*Did you mean "check_heat"/,
    ],
  ] as const
  for (const [text, wanted] of sql) {
    single('return heat', text)
    sensors.project = undefined
    const [mistake] = await refused()
    assert.match(mistake ?? '', wanted)
    assert.match(mistake ?? '', /refold\.config\.ts:8:\d+ /)
  }
})

test('a name that SQL has already is refused, and so is what fn() cannot take', async () => {
  sensors.write({
    'logic/bad.ts': `import { fn } from 'refold'
export const taken = fn('sqrt', { args: ['DOUBLE'], returns: 'DOUBLE', call: (x) => x })
`,
    'refold.config.ts': projectFile({ taken: './logic/bad.ts' }, { v: 'SELECT count(*) AS n FROM readings' }),
  })
  assert.match(
    (await refused())[0] ?? '',
    /LOGIC_INVALID logic\/bad\.ts:2:22 SQL already has a function "sqrt"/,
  )
  sensors.project = undefined
  sensors.write({
    'logic/bad.ts': `import { fn } from 'refold'
export const taken = fn('mine', {
  args: ['FLOAT' as never, undefined as never],
  returns: 'DOUBLE',
  artefacts: { model: './modle.json' },
} as never)
`,
    'logic/model.json': '{}',
  })
  await assert.rejects(sensors.load(), (error: Error & { place?: { line: number } }) => {
    assert.match(error.message, /function "mine": it has neither `call` nor `vector`|type "FLOAT"/)
    return true
  })
})
