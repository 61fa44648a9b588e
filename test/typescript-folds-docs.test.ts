/** The page about folds in TypeScript: its project is started as it stands there, and does what the page says. */

import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { FoldServer } from './support/fold-server.ts'
import { read } from './support/source-files.ts'

const page = read('docs/typescript-folds.md')
let shop: FoldServer | undefined
afterEach(() => shop?.dispose())

test('the project of the page counts visits', async () => {
  shop = new FoldServer()
  const files = [...page.matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g)]
  assert.deepEqual(
    files.map(([, name]) => name),
    ['visits.ts', 'refold.config.ts'],
  )
  shop.write(Object.fromEntries(files.map(([, name = '', text = '']) => [name, text])))
  await shop.open()
  const clicks = [
    ['ann', '/', '10:00'],
    ['ann', '/shop', '10:20'],
    ['bob', '/', '10:30'],
    ['ann', '/news', '11:00'],
  ].map(([user = '', path = '', time = ''], index) => {
    const at = `2024-05-01T${time}:00Z`
    const json = JSON.stringify({ user_id: user, page: path, at })
    return { stream: 'clicks', partition: 0, json, timeUs: Date.parse(at) * 1000, index }
  })
  const { cut } = await shop.server.core.append({
    stream: 'clicks',
    events: clicks,
    deadLetters: [],
    bytes: 400,
  })
  assert.deepEqual(await shop.rows('visits', cut), [
    { user_id: 'ann', visits: 2, last_page: '/news' },
    { user_id: 'bob', visits: 1, last_page: '/' },
  ])
})

test('the options that the page names are those of fold()', () => {
  const source = read('src/define/fold.ts')
  for (const [, option = ''] of page.matchAll(/^\| `(\w+)` \|/gm)) {
    assert.match(source, new RegExp(`readonly ${option}\\??:`), option)
  }
})
