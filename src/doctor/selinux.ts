// Doctor's group selinux: its mode, and whether kleidi's policy is loaded.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Check, ok, warn } from './check.ts';

export const selinux: Check = {
  group: 'selinux',
  needs: 'nothing',

  async run({ root }) {
    const enforce = join(root, 'sys/fs/selinux/enforce');
    if (!existsSync(enforce)) return ok('SELinux is not in use');
    if (readFileSync(enforce, 'utf8').trim() !== '1') return ok('SELinux is permissive');
    const loaded = globSync(join(root, 'var/lib/selinux/*/active/modules/*/kleidi')).length > 0;
    if (loaded) return ok("SELinux is enforcing, kleidi's policy module is loaded");
    return warn(
      "SELinux is enforcing without kleidi's policy module: a confined kube-apiserver may not connect",
      'semodule -i /usr/share/selinux/packages/kleidi.pp; then: ausearch -m avc -ts recent',
    );
  },
};
