/**
 * Functions in TypeScript, from a project's files to answers: live ticks and bulk folds against plain JavaScript over
 * the same readings, every place where SQL may call one, and old code beside new.
 */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { seededRandom } from '../support/seeded-random.ts'
import { projectFile, type Reading, SensorServer } from '../support/sensor-server.ts'

let sensors: SensorServer

beforeEach(() => {
  sensors = new SensorServer()
})
afterEach(() => sensors.dispose())

const scoreFile = (factor: number) => `import { fn } from 'refold'
import { squash } from '../shared/squash.ts'

export const score = fn('score', {
  args: ['DOUBLE', 'DOUBLE'],
  returns: 'DOUBLE',
  nulls: 'pass',
  call: (heat, shake) => (heat === null ? null : squash(heat * ${factor} + (shake ?? 1))),
})

export const band = fn('band', {
  args: ['DOUBLE'],
  returns: 'VARCHAR',
  vector: ([heats]) => Array.from(heats, (heat) => (heat < 20 ? 'cold' : heat < 60 ? 'warm' : 'hot')),
})
`
const squashFile = (limit: number) => `export function squash(x: number): number {
  return Math.min(${limit}, Math.round(x * 8) / 8)
}
`

const views = {
  per_band:
    'SELECT band(heat) AS band, count(*) AS n, sum(score(heat, shake)) AS total, max(score(heat, 0)) AS top FROM readings GROUP BY band(heat)',
  alerts: 'SELECT id, sensor, score(heat, shake) AS score FROM readings WHERE score(heat, shake) > 100',
  per_sensor:
    'SELECT sensor, count(*) AS n, band(max(heat)) AS band, count(DISTINCT band(heat)) AS bands FROM readings GROUP BY sensor',
}

function files(
  factor = 2,
  limit = 150,
  more: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  return {
    'logic/score.ts': scoreFile(factor),
    'shared/squash.ts': squashFile(limit),
    'refold.config.ts': projectFile(
      { score: './logic/score.ts', band: './logic/score.ts' },
      { ...views, ...more },
    ),
  }
}

// ---- what is expected, in plain JavaScript ------------------------------------------------------------------------

const scoreOf = ({ heat }: Reading, shake: number | undefined, factor = 2, limit = 150) =>
  Math.min(limit, Math.round((heat * factor + (shake ?? 1)) * 8) / 8)
const bandOf = (heat: number) => (heat < 20 ? 'cold' : heat < 60 ? 'warm' : 'hot')

function expected(sent: readonly Reading[], factor = 2, limit = 150) {
  const bands = new Map<string, { band: string; n: number; total: number; top: number }>()
  const bySensor = new Map<string, { sensor: string; n: number; max: number; bands: Set<string> }>()
  for (const reading of sent) {
    const band = bandOf(reading.heat)
    const one = bands.get(band) ?? { band, n: 0, total: 0, top: -Infinity }
    one.n++
    one.total += scoreOf(reading, reading.shake, factor, limit)
    one.top = Math.max(one.top, scoreOf(reading, 0, factor, limit))
    bands.set(band, one)
    const own = bySensor.get(reading.sensor) ?? {
      sensor: reading.sensor,
      n: 0,
      max: -Infinity,
      bands: new Set(),
    }
    own.n++
    own.max = Math.max(own.max, reading.heat)
    own.bands.add(band)
    bySensor.set(reading.sensor, own)
  }
  return {
    per_band: [...bands.values()],
    alerts: sent
      .map((reading) => ({
        id: reading.id,
        sensor: reading.sensor,
        score: scoreOf(reading, reading.shake, factor, limit),
      }))
      .filter(({ score }) => score > 100),
    per_sensor: [...bySensor.values()].map(({ sensor, n, max, bands: own }) => ({
      sensor,
      n,
      band: bandOf(max),
      bands: own.size,
    })),
  }
}

const sorted = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).sort()

async function checkAll(cut: number, factor = 2, limit = 150): Promise<void> {
  for (const [view, rows] of Object.entries(expected(sensors.sent, factor, limit))) {
    assert.deepEqual(sorted(await sensors.rows(view, cut)), sorted(rows), view)
  }
}

function readings(count: number, seed = 1): Omit<Reading, 'id'>[] {
  const random = seededRandom(seed)
  return Array.from({ length: count }, (_, index) => ({
    sensor: `s${Math.floor(random() * 7)}`,
    second: index,
    heat: Math.floor(random() * 800) / 8,
    ...(random() < 0.3 ? {} : { shake: Math.floor(random() * 80) / 8 }),
  }))
}

test('live equals bulk equals plain JavaScript; old and new code stand side by side', async () => {
  sensors.write(files())
  await sensors.open()
  await sensors.send(readings(300))
  const cut = await sensors.send(readings(200, 2))
  await checkAll(cut)
  const before = (await sensors.rows('per_band')).length
  assert.equal(before, 3)

  // A helper in another folder changes: a new version, folded in bulk from the lake and the log.
  await sensors.flush()
  const later = await sensors.send(readings(100, 3))
  sensors.write(files(2, 60))
  const info = await sensors.deploy()
  assert.equal(info.state, 'live', JSON.stringify(info))
  await checkAll(later, 2, 60)
  // The old version is warm and goes on with the old code.
  const last = await sensors.send(readings(50, 4))
  await checkAll(last, 2, 60)
  await sensors.server.deploys.rollback({ reason: 'test', author: { who: 'tester' } })
  await checkAll(last, 2, 150)

  // A restart has the code again from the store, whatever the project has now.
  await sensors.close()
  sensors.write({ 'shared/squash.ts': squashFile(1) })
  await sensors.open()
  await checkAll(last, 2, 150)
  const end = await sensors.send(readings(50, 5))
  await checkAll(end, 2, 150)
})

test('SQL of people calls the function that is served, by its plain name', async () => {
  sensors.write(files())
  await sensors.open()
  const cut = await sensors.send(readings(50))
  await sensors.rows('alerts', cut)
  const rows = await sensors.sql(
    'SELECT id, score(heat, shake) AS s, BAND(heat) AS b FROM readings ORDER BY id',
  )
  const wanted = sensors.sent.map((one) => ({ id: one.id, s: scoreOf(one, one.shake), b: bandOf(one.heat) }))
  assert.deepEqual(sorted(rows), sorted(wanted))
  await assert.rejects(sensors.sql('SELECT scora(heat, shake) FROM readings'), /scora/)
  await assert.rejects(sensors.sql("SELECT score('x', sensor) FROM readings"), /score/)
})
