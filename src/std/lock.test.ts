/** The lock of a folder: one holder at a time, over processes, gone with a killed holder. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { lockFolder } from './lock.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-lock-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('a second holder is refused and told the first, until it lets go', () => {
  const first = lockFolder(folder)
  assert.ok(first.ok)
  const second = lockFolder(folder)
  assert.deepEqual(second, { ok: false, pid: process.pid })
  first.lock.release()
  first.lock.release()
  const third = lockFolder(folder)
  assert.ok(third.ok)
  third.lock.release()
})

test('a killed holder leaves no lock behind', async () => {
  const script = join(folder, 'holder.mjs')
  const module = JSON.stringify(new URL('./lock.ts', import.meta.url).href)
  writeFileSync(
    script,
    `import { lockFolder } from ${module}
     const held = lockFolder(process.argv[2])
     console.log(held.ok)
     setInterval(() => held.ok, 1000)`,
  )
  const child = spawn(process.execPath, [script, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  assert.deepEqual(lockFolder(folder), { ok: false, pid: child.pid })
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
  const next = lockFolder(folder)
  assert.ok(next.ok)
  next.lock.release()
})
