/** A save is told once, by the files that changed, however the editor writes them. */

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { watchFiles } from './watch-files.ts'

test('saves of known files and of views, in place or by renaming; nothing else', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'refold-watch-'))
  const config = join(root, 'refold.config.ts')
  const view = join(root, 'views', 'top.sql')
  const fresh = join(root, 'views', 'fresh.sql')
  mkdirSync(join(root, 'views'))
  writeFileSync(config, '1')
  writeFileSync(view, '1')
  let heard = Promise.withResolvers<readonly string[]>()
  const watch = watchFiles((files) => heard.resolve(files))
  t.after(() => watch.close())
  watch.follow(root, [config, view])
  const next = async (save: () => void): Promise<readonly string[]> => {
    heard = Promise.withResolvers()
    save()
    return await heard.promise
  }
  assert.deepEqual(await next(() => writeFileSync(config, '2')), [config])
  const renamed = () => {
    writeFileSync(`${view}.swp`, '2')
    writeFileSync(join(root, 'notes.txt'), 'nobody minds')
    renameSync(`${view}.swp`, view)
  }
  assert.deepEqual(await next(renamed), [view])
  assert.deepEqual(await next(() => writeFileSync(fresh, '1')), [fresh])
  const both = () => {
    writeFileSync(view, '3')
    writeFileSync(config, '3')
  }
  assert.deepEqual(await next(both), [config, view])
})

test('the folder of views may come later', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'refold-watch-'))
  const heard = Promise.withResolvers<readonly string[]>()
  const watch = watchFiles((files) => heard.resolve(files))
  t.after(() => watch.close())
  watch.follow(root, [])
  mkdirSync(join(root, 'views'))
  assert.deepEqual(await heard.promise, [join(root, 'views')])
})
