/**
 * What keeps a view with two definitions right: verify finds what is served wrong and nothing else, a batch that fails
 * changes nothing, events that its batch SQL reads are not trimmed, and a backup has its reference files.
 */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { isRefoldError } from '../support/is-refold-error.ts'
import { BATCH_SQL, TwoShop } from '../support/two-shop.ts'

let shop: TwoShop
beforeEach(() => {
  shop = new TwoShop()
})
afterEach(() => shop.dispose())

test('verify finds nothing where nothing is wrong, and damage of the batch slice by its checksum', async () => {
  await shop.open(shop.project())
  await shop.send(30)
  await shop.login('u1')
  await shop.answer()
  await shop.published('customers')
  await shop.send(8)
  await shop.server.flush()
  await shop.send(3)
  const verify = async () => {
    const [report] = await shop.server.core.verify.run({ views: ['customers'] })
    assert.ok(report !== undefined)
    assert.equal(report.error, undefined)
    return report
  }
  const sound = await verify()
  assert.deepEqual(sound.findings, [])
  assert.equal(sound.groups, 13)
  const folder = join(shop.folder, 'data/slices/customers')
  const slice = readdirSync(folder).find((name) => name.includes('-batch-')) ?? ''
  const bytes = readFileSync(join(folder, slice))
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
  writeFileSync(join(folder, slice), bytes)
  const [finding] = (await verify()).findings
  assert.equal(finding?.kind, 'damaged slice')
  assert.ok(finding?.text.includes(slice))
  await shop.published('customers')
  assert.deepEqual((await verify()).findings, [])
})

test('a batch that gives a key twice fails with its name, and readers keep what they had', async () => {
  const twice = BATCH_SQL.replace('GROUP BY s."user"', 'GROUP BY s."user", s.id % 2').replaceAll(
    's.id % 2',
    'length(s.id) % 2',
  )
  await shop.open(shop.project({ views: [shop.twoView({ sql: twice })] }))
  await shop.send(5)
  await shop.answer()
  await shop.published('customers')
  await shop.send(30)
  const before = await shop.answer()
  const batch = await shop.batch('customers')
  assert.equal(batch.state, 'failed')
  assert.match(batch.reason ?? '', /gives more than one row with the key \{"user":"u\d+"\}/)
  const after = await shop.answer()
  assert.deepEqual([after.batch, after.rows], [before.batch, before.rows])
})

test('events that a batch SQL reads are not trimmed, of whichever stream', async () => {
  await shop.open(shop.project())
  await shop.send(10)
  const cut = await shop.login('u1')
  await shop.server.flush()
  for (const stream of ['sales', 'logins']) {
    await assert.rejects(
      shop.server.core.lake.trim({ stream, to: { cut }, promote: true, reason: 'test' }),
      isRefoldError('TRIM_REFUSED', /read by the batch SQL of "customers"/),
    )
  }
})

test('a backup lists the reference files of every version', async () => {
  await shop.open(shop.project())
  const paths: string[] = []
  const stop = new AbortController()
  for await (const line of shop.server.core.lake.backup({ slices: true, signal: stop.signal })) {
    const { kind, path } = line as { readonly kind: string; readonly path?: string }
    if (path !== undefined) paths.push(path)
    if (kind === 'end') stop.abort()
  }
  assert.equal(paths.filter((path) => /^reference\/[0-9a-f]{64}\/file\.csv$/.test(path)).length, 1)
})
