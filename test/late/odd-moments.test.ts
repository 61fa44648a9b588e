/**
 * Held events at odd moments: trims, versions that are deployed while events are held, lake files and frames of earlier
 * releases, projects that cannot hold anything. What views must be is worked out by plain DuckDB over what was sent.
 */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { crc32 } from 'node:zlib'
import { ProjectMistakes } from '../../src/server/checked-project.ts'
import { isRefoldError } from '../support/is-refold-error.ts'
import { HOUR_MS, LateShop, lateView, lateViews, randomVisits, visits } from '../support/late-shop.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { deployOptions } from '../support/shop-server.ts'

const START_MS = Date.UTC(2024, 4, 1)
let shop: LateShop

beforeEach(() => {
  shop = new LateShop()
})
afterEach(() => shop.dispose())

async function sendSome(commits: number, random = seededRandom(7)): Promise<void> {
  for (let commit = 0; commit < commits; commit++) {
    const nowMs = START_MS + shop.sent.length * 0.1 * HOUR_MS
    await shop.send(randomVisits(random, shop.sent.length, 40, nowMs))
  }
}

test('events that are held are not trimmed before a batch took them', async () => {
  await shop.open()
  await sendSome(3)
  await shop.server.flush()
  await sendSome(3, seededRandom(11))
  await shop.server.flush()
  const trim = () => shop.server.core.lake.trim({ stream: 'visits', to: { cut: 3 }, promote: true })
  await assert.rejects(trim(), isRefoldError('TRIM_REFUSED', /wait for the next batch/))
  for (const name of Object.keys(lateViews)) await shop.batch(`${name}_held`)
  await trim()
  await shop.check('trimmed')
  await sendSome(2, seededRandom(8))
  await shop.check('trimmed, and on')
  await shop.killed()
  await shop.check('trimmed and killed')
})

test('a held view that is deployed over history begins with all of it, and then holds', async () => {
  const plain = shop.project({ views: [lateView('totals', lateViews['totals']!, {})] })
  await shop.open(plain)
  await sendSome(4)
  await shop.server.flush()
  const built = shop.sent.at(-1)!.cut
  await shop.server.reload(
    shop.project({ views: [lateView('totals', lateViews['totals']!, { late: 'hold' })] }),
  )
  await sendSome(3, seededRandom(9))
  const found = await shop.read('totals', { after: shop.sent.at(-1)!.cut })
  assert.deepEqual(found.cells, await shop.expected('totals_held', found.cut, built))
  const { held, events } = await shop.server.core.late.list({ view: 'totals', all: true, limit: 1000 })
  const late = shop.sent.filter((visit) => visit.late)
  assert.equal(held, late.filter(({ cut }) => cut > built).length)
  assert.ok(held > 0)
  assert.deepEqual(
    events.map(({ commit, state }) => [commit, state]),
    late.map(({ cut }) => [cut, cut > built ? 'held' : 'built']),
  )
})

test('a version that takes the place of one that holds stands on its batch, is compared on it, and says so', async () => {
  const sql = lateViews['active']!
  const project = (text: string, late: 'hold' | 'correct') =>
    shop.project({ views: [lateView('active', text, late === 'hold' ? { late } : {})] })
  await shop.open(project(sql, 'hold'), { views: 'deployed' })
  await sendSome(3)
  await shop.read('active', { after: 3 })
  const batch = await shop.batch('active')
  await sendSome(3, seededRandom(12))
  const deploy = async (text: string, late: 'hold' | 'correct') => {
    const { deploys } = shop.server
    const { id } = await deploys.deploy(project(text, late), deployOptions({}), {
      who: 'tester',
      source: 'abc',
    })
    return await deploys.settled(id)
  }
  // The same rows by other words: what is held is held in both, so nothing differs.
  const same = await deploy(sql.replace('count(*) AS n', 'sum(1)::BIGINT AS n'), 'hold')
  assert.equal(same.state, 'live', JSON.stringify(same))
  const compare = same.views[0]?.compare
  assert.deepEqual([compare?.changed, compare?.added, compare?.removed], [0, 0, 0])
  const cut = await shop.send(randomVisits(seededRandom(13), shop.sent.length, 30, START_MS + 90 * HOUR_MS))
  const found = await shop.read('active', { after: cut })
  assert.deepEqual(found.cells, await shop.expected('active_held', cut, batch))
  const plan = await shop.server.deploys.plan(project(sql, 'correct'))
  assert.match(JSON.stringify(plan.views), /late events no longer wait for a batch/)
  const corrected = await deploy(sql, 'correct')
  assert.equal(corrected.state, 'live', JSON.stringify(corrected))
  assert.deepEqual((await shop.read('active', { after: cut })).cells, await shop.expected('active', cut))
})

test('what an earlier release wrote counts as in time', async () => {
  await shop.open()
  await sendSome(3)
  await shop.close()
  // As an earlier release leaves it: its headers do not say how many events were late.
  const folder = join(shop.dataDir, 'log')
  for (const name of readdirSync(folder).filter((file) => /^\d{12}\.ndjson$/.test(file))) {
    const text = readFileSync(join(folder, name), 'utf8')
    writeFileSync(join(folder, name), withoutLate(text))
  }
  const before = shop.sent.map((visit) => visit.cut)
  await shop.open()
  await sendSome(3, seededRandom(10))
  const cut = shop.sent.at(-1)!.cut
  const inTime = Math.max(...before)
  for (const place of ['hot', 'lake']) {
    if (place === 'lake') await shop.server.flush()
    for (const name of Object.keys(lateViews)) {
      const found = await shop.read(`${name}_held`, { after: cut })
      assert.deepEqual(found.cells, await shop.expected(`${name}_held`, cut, inTime), `${place}: ${name}`)
    }
    const { held } = await shop.server.core.late.list({ view: 'totals_held', all: false, limit: 1 })
    assert.equal(held, shop.sent.filter((visit) => visit.late && visit.cut > inTime).length)
  }
})

/** Rewrites a segment's first line and its headers; frames keep their checksums right. */
function withoutLate(text: string): string {
  const out: string[] = []
  const lines = text.split('\n')
  for (let at = 0; at < lines.length; ) {
    const line = lines[at]!
    if (!/^\{"(segment|commit)":/.test(line)) {
      out.push(line)
      at++
      continue
    }
    const head = line.slice(0, line.lastIndexOf(',"crc":')).replace(/,"late":\{[^}]*\}/, '')
    let next = at + 1
    while (next < lines.length && lines[next] !== '' && !/^\{"(segment|commit)":/.test(lines[next]!)) next++
    const body = lines
      .slice(at + 1, next)
      .map((each) => `${each}\n`)
      .join('')
    const crc = line.startsWith('{"commit"') ? crc32(body, crc32(head)) : crc32(head)
    out.push(`${head},"crc":${crc}}`)
    at++
  }
  return out.join('\n')
}

test('a project in which nothing can be late is refused', async () => {
  const held = [lateView('totals', lateViews['totals']!, { late: 'hold' })]
  const { time: _, ...timeless } = visits()
  for (const [stream, text] of [
    [timeless, /stream "visits" has no event time/],
    [visits({ latenessMs: 0 }), /stream "visits" states no lateness/],
  ] as const) {
    await assert.rejects(shop.open(shop.project({ streams: [stream], views: held })), (error) => {
      assert.ok(error instanceof ProjectMistakes)
      assert.deepEqual(
        error.mistakes.map(({ code }) => code),
        ['VIEW_LATE'],
      )
      assert.match(error.message, text)
      return true
    })
  }
})
