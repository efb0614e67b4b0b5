/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a run was asked for: one member for each option of options.def, checked and with its default
 * filled in, whichever source it came from (command line, configuration file, RPC). Plain data;
 * everyone reads it as cr->opts and nobody but cli/ and service/ writes it. Strings live as long as
 * the struct; a string that was not given and has no default is NULL.
 */
#ifndef CRIU_OPTIONS_H
#define CRIU_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A repeatable option: its arguments in the order of the sources. */
struct option_strings {
	const char **items;
	size_t n;
};

/* --inherit-fd fd[N]:KEY and debug[N]:TEXT. */
struct option_inherit {
	int fd;
	bool is_debug;
	const char *key;
};

struct option_inherits {
	struct option_inherit *items;
	size_t n;
};

/* IN=OUT, KEY:VALUE, [CTRL:]/PATH: value is NULL where there is none. */
struct option_pair {
	const char *key;
	const char *value;
};

struct option_pairs {
	struct option_pair *items;
	size_t n;
};

/* --external TYPE[ID]:VALUE, taken apart; text is the whole as given, value may be NULL. */
struct option_external {
	const char *text;
	const char *type;
	const char *id;
	const char *value;
};

struct option_externals {
	struct option_external *items;
	size_t n;
};

/* --join-ns NS:{PID|FILE}[,EXTRA]. */
struct option_join_ns {
	const char *ns;
	const char *file;
	const char *extra;
};

struct option_join_nss {
	struct option_join_ns *items;
	size_t n;
};

/* --ext-unix-sk[=INO,...]: none listed means all. */
struct option_numbers {
	uint64_t *items;
	size_t n;
};

/* --manage-cgroups; numbers of enum criu_cg_mode in rpc.proto. */
enum option_cgroup_mode {
	CGROUP_MODE_IGNORE = 0,
	CGROUP_MODE_NONE = 1,
	CGROUP_MODE_PROPS = 2,
	CGROUP_MODE_SOFT = 3,
	CGROUP_MODE_FULL = 4,
	CGROUP_MODE_STRICT = 5,
};

/* --cpu-cap, as in the RPC field of that name. */
#define CPU_CAP_FPU   0x1u
#define CPU_CAP_CPU   0x2u
#define CPU_CAP_INS   0x4u
#define CPU_CAP_IMAGE 0x8u

/* --file-validation; order of the option's list of values. */
enum option_file_validation { FILE_VALIDATION_FILESIZE, FILE_VALIDATION_BUILDID };

/* --network-lock; order of the option's list of values. */
enum option_network_lock {
	NETWORK_LOCK_IPTABLES,
	NETWORK_LOCK_NFTABLES,
	NETWORK_LOCK_SKIP,
	NETWORK_LOCK_NONE,
};

/* --pre-dump-mode; order of the option's list of values. */
enum option_pre_dump_mode { PRE_DUMP_MODE_SPLICE, PRE_DUMP_MODE_READ };

struct options {
	bool help;    /* -h: print the help and nothing else */
	bool version; /* -V */

	/* What to work on. */
	const char *images_dir;      /* -D: image directory */
	const char *work_dir;        /* -W: logs, pidfile, statistics; images_dir if not given */
	const char *prev_images_dir; /* parent images, relative to images_dir */
	pid_t tree;                  /* -t: root task; 0 = not given */
	const char *pidfile;         /* gets the pid of the root task, service or page server */

	/* Log and report. */
	int log_level;        /* -v: 0 none, 1 errors, 2 warnings, 3 info, 4 debug */
	const char *log_file; /* -o: relative to work_dir; NULL = stderr */
	bool log_pid;         /* one log per restored process */
	const char *report;   /* file that gets the report as JSON */
	bool display_stats;
	bool dry_run; /* collect and check only */

	/* How tasks go on. */
	bool leave_running;           /* -R */
	bool leave_stopped;           /* -s */
	bool restore_detached;        /* -d; also --daemon */
	bool restore_sibling;         /* -S */
	bool exec_cmd;                /* run exec_argv after restore */
	const char *const *exec_argv; /* what follows "--", ends with NULL; NULL if there is none */
	bool hold;                    /* restored, still stopped, wait for "criu release" */
	unsigned int timeout;         /* seconds for freezing; 0 = no limit */
	const char *freeze_cgroup;
	struct option_strings action_script; /* last one runs first */
	bool unprivileged;
	bool deprecated;             /* also the environment variable CRIU_DEPRECATED */
	struct option_numbers close; /* descriptors to close before any work */

	/* Resources outside of the tree. */
	bool shell_job; /* -j: terminal and session may be outside */
	struct option_externals external;
	struct option_inherits inherit_fd;
	bool ext_unix_sk; /* -x */
	struct option_numbers ext_unix_sk_inodes;

	/* Files. */
	bool file_locks; /* -l */
	bool link_remap;
	uint64_t ghost_limit; /* bytes */
	bool ghost_fiemap;
	bool force_irmap;
	struct option_strings irmap_scan_path;
	bool evasive_devices;
	enum option_file_validation file_validation;
	bool skip_file_rwx_check;

	/* Sockets and network. */
	bool tcp_established;
	bool tcp_close;
	bool skip_in_flight;
	enum option_network_lock network_lock;

	/* Memory. */
	bool track_mem;
	bool auto_dedup;
	enum option_pre_dump_mode pre_dump_mode;
	bool lazy_pages;
	bool stream;
	bool allow_uprobes;

	/* Page server and service. */
	bool page_server;
	const char *address;
	uint16_t port; /* 0 = chosen by the kernel */
	int ps_socket; /* -1 = not given */
	int status_fd; /* -1 = not given */
	bool tls;
	const char *tls_cacert;
	const char *tls_cacrl;
	const char *tls_cert;
	const char *tls_key;
	bool tls_no_cn_verify;

	/* Namespaces and mounts. */
	const char *root;                  /* -r: new root of the restored mount namespace */
	struct option_pairs veth_pair;     /* inner name, outer name */
	struct option_pairs ext_mount_map; /* -M: dump mount point and key; restore key and path */
	bool ext_mount_map_auto;           /* -M auto */
	bool enable_external_sharing;
	bool enable_external_masters;
	struct option_strings skip_mnt;
	struct option_strings enable_fs; /* names, or the single word all */
	bool mntns_compat_mode;
	unsigned int empty_ns;          /* CLONE_NEWNET or 0 */
	struct option_join_nss join_ns; /* -J */
	bool weak_sysctls;
	const char *lsm_profile; /* TYPE:NAME */
	const char *lsm_mount_context;

	/* Control groups. */
	enum option_cgroup_mode manage_cgroups;
	bool manage_cgroups_given;       /* the mode was asked for, not defaulted */
	struct option_pairs cgroup_root; /* controller or NULL, path */
	const char *cgroup_props;
	const char *cgroup_props_file;
	struct option_strings cgroup_dump_controller;
	const char *cgroup_yard;

	/* CPU, check, plugins. */
	unsigned int cpu_cap; /* bits CPU_CAP_x */
	const char *feature;  /* check only this one */
	bool extra;
	bool experimental;
	const char *libdir;               /* -L: plugin directory */
	struct option_strings plugin_opt; /* NAME.key=value */
	unsigned int plugin_timeout; /* seconds for each call of a plugin; 0 = the plugin's own */

	/* Where options come from. */
	const char *config; /* --config */
	bool no_default_config;
};

#endif
