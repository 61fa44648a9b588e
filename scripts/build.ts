/**
 * `npm run build`: the published form in `dist/`. The source runs in Node unbuilt from a checkout, but Node strips
 * no types under `node_modules`, so the package carries plain JavaScript and declarations. Tests stay out.
 */

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { root } from './steps.ts'

rmSync(path.join(root, 'dist'), { recursive: true, force: true })
const compiler = path.join(root, 'node_modules/typescript/bin/tsc')
const built = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
})
if (built.status !== 0) process.exit(built.status ?? 1)

const bin = path.join(root, 'dist/cli/main.js')
if (!existsSync(bin) || !readFileSync(bin, 'utf8').startsWith('#!/usr/bin/env node')) {
  console.error('dist/cli/main.js is missing or does not begin with #!/usr/bin/env node')
  process.exit(1)
}
chmodSync(bin, 0o755)
