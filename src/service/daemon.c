// See daemon.h. The process is disposable: it holds no VM, only what is known of them, and that is in the store. Ended
// in whatever way, the next one finds everything again; so SIGTERM leaves the VMs running, too, and what shall happen
// to them when the host goes down is asked for (--stop-vms, which nidus-vms.service does).
#include "service/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/place.h"
#include "base/version.h"
#include "cmdlet/value.h"
#include "service/api.h"
#include "service/log.h"
#include "service/service.h"
#include "service/tls.h"

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, LISTEN_FD = 3, BACKLOG = 128, END_MS = 30000 };

struct daemon {
    char socket[PLACE_BYTES], state[PLACE_BYTES], runtime[PLACE_BYTES];
    const char *worker;
    gid_t gid;
    const char *group;                                    // whose members may connect, too; NULL: nobody's
    const char *listen, *certificate, *key, *token_file; // TCP; NULL: not at all; made in the state directory
    bool background, stop_vms, end;
    int ready; // --background: whom to tell that the socket answers; -1: nobody
    struct api *api;
    bool inherited;      // the socket came from who started us, who looks after it
    struct stat bound;   // the socket's file, as we made it
    bool lost;           // it is gone, and could not be made again
};

static const char usage[] =
    "usage: nidus daemon [OPTION...]\n"
    "Keeps the records of virtual machines and carries out cmdlets. Started by the first cmdlet that needs it, or by\n"
    "systemd; ending it leaves the virtual machines running.\n\n"
    "  --background             go to the background, and return when the socket answers\n"
    "  --socket PATH            listen there (NIDUS_SOCKET)\n"
    "  --state-directory PATH   records and the virtual machines' files (NIDUS_STATE_DIRECTORY)\n"
    "  --runtime-directory PATH sockets of the virtual machines (NIDUS_RUNTIME_DIRECTORY)\n"
    "  --group NAME             the socket is for this group's members, too: they may do all that the service can\n"
    "  --listen ADDRESS:PORT    serve TCP, too, behind TLS and a token; [ADDRESS] for IPv6, :PORT for all addresses\n"
    "  --certificate FILE       PEM, with --key; otherwise one is made, tls.crt in the state directory\n"
    "  --key FILE               PEM\n"
    "  --token-file FILE        what clients must show; otherwise one is made, token in the state directory\n"
    "  --worker PATH            run PATH as `nidus worker` instead of this program\n"
    "  --stop-vms               have all virtual machines do what their AutomaticStopAction says, and return\n"
    "                           when it is done: for the end of the host\n"
    "  --end                    end the service that listens there, if one does; the virtual machines run on\n"
    "  --help                   print this and end\n";

// --- The socket ------------------------------------------------------------------------------------------------------
// Bound under another name and renamed into place: whoever looks finds a socket that answers, or none.
static int socket_make(struct daemon *daemon, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (snprintf(address.sun_path, sizeof address.sun_path, "%s.new", daemon->socket) >= (int)sizeof address.sun_path)
        return error_set(error, "socket '%s': the name is too long, %zu bytes are the most", daemon->socket,
                         sizeof address.sun_path - 5);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(address.sun_path);
    const mode_t before = umask(0177); // who may connect may do everything: the owner, and whom the owner named
    bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    umask(before);
    if (bound && daemon->group)
        bound = chown(address.sun_path, (uid_t)-1, daemon->gid) == 0 && chmod(address.sun_path, 0660) == 0;
    if (!bound || listen(fd, BACKLOG) < 0 || rename(address.sun_path, daemon->socket) < 0 ||
        stat(daemon->socket, &daemon->bound) < 0) {
        error_set(error, "socket '%s': %s", daemon->socket, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

// systemd's protocol: sd_listen_fds(3).
static bool socket_inherited(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    const bool inherited = pid && count && strtol(pid, NULL, 10) == getpid() && strtol(count, NULL, 10) == 1;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    if (inherited)
        fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC);
    return inherited;
}

// A user's runtime directory may be emptied at the last logout.
static int folder_make(const struct daemon *daemon, struct error *error)
{
    char *folder = value_text_copy(daemon->socket);
    char *slash = strrchr(folder, '/');
    const int result = slash && slash != folder ? (*slash = 0, place_make(folder, error)) : 0;
    free(folder);
    return result;
}

// The group's members reach the socket, and see nothing else of the folder it is in.
static int socket_group(struct daemon *daemon, struct error *error)
{
    const struct group *group = getgrnam(daemon->group);
    char *folder = value_text_copy(daemon->socket);
    int result = -1;
    *strrchr(folder, '/') = 0;
    if (!group)
        error_set(error, "--group %s: there is no such group", daemon->group);
    else if (chown(folder, (uid_t)-1, group->gr_gid) < 0 || chmod(folder, 0710) < 0)
        error_set(error, "--group %s: folder '%s': %s", daemon->group, folder, strerror(errno));
    else
        result = 0;
    daemon->gid = group ? group->gr_gid : 0;
    free(folder);
    return result;
}

// The file is gone, or somebody put another one in its place: nobody finds us there any more.
static void socket_check(void *context)
{
    struct daemon *daemon = context;
    struct stat now;
    if (stat(daemon->socket, &now) == 0 && now.st_dev == daemon->bound.st_dev && now.st_ino == daemon->bound.st_ino)
        return;
    struct error error;
    const bool folder = folder_make(daemon, &error) == 0 && (!daemon->group || socket_group(daemon, &error) == 0);
    const int fd = folder ? socket_make(daemon, &error) : -1;
    const bool made = fd >= 0 && api_serve(daemon->api, fd, &error) == 0;
    if (made)
        log_write(LOG_WARNING, "socket-made-again", "path", daemon->socket, "reason",
                  "it was removed or replaced", NULL);
    else if (!daemon->lost) // and not again every few seconds
        log_write(LOG_ERROR, "socket-lost", "path", daemon->socket, "reason", error.text, NULL);
    daemon->lost = !made;
}

// One service a socket: the next one would otherwise put its own in our place.
static int socket_lock(const struct daemon *daemon, struct error *error)
{
    char *path = value_text("%s.lock", daemon->socket);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int result = 0;
    if (fd < 0)
        result = error_set(error, "'%s': %s", path, strerror(errno));
    else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        result = error_set(error, "another service listens on '%s' already", daemon->socket);
    free(path);
    return result; // held until the process ends
}

static int socket_open(struct daemon *daemon, struct error *error)
{
    daemon->inherited = socket_inherited();
    if (daemon->inherited && daemon->group)
        return error_set(error, "--group: systemd made the socket; SocketGroup= in nidus.socket says whose it is");
    if (daemon->inherited)
        return LISTEN_FD;
    int result = folder_make(daemon, error);
    if (result == 0 && daemon->group)
        result = socket_group(daemon, error);
    if (result == 0)
        result = socket_lock(daemon, error);
    return result < 0 ? -1 : socket_make(daemon, error);
}

// --- Telling that it is up -------------------------------------------------------------------------------------------
// systemd's protocol: sd_notify(3).
static void notify_ready(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = 0;
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    static const char words[] = "READY=1\nSTATUS=Carries out cmdlets";
    if (fd >= 0)
        sendto(fd, words, sizeof words - 1, MSG_NOSIGNAL, (const struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    if (fd >= 0)
        close(fd);
    unsetenv("NOTIFY_SOCKET");
}

// The parent waits for a byte: 0, or the reason why not.
static int background(struct daemon *daemon)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return perror("nidus: daemon"), STATUS_FAILED;
    const pid_t pid = fork();
    if (pid < 0)
        return perror("nidus: daemon"), STATUS_FAILED;
    if (pid == 0) {
        close(pair[0]);
        setsid();
        daemon->ready = pair[1];
        return -1;
    }
    close(pair[1]);
    char text[sizeof((struct error *)0)->text] = "it ended before it was up";
    ssize_t got;
    do
        got = read(pair[0], text, sizeof text - 1);
    while (got < 0 && errno == EINTR);
    if (got == 1 && !text[0])
        return STATUS_OK;
    if (got > 0)
        text[got] = 0;
    fprintf(stderr, "nidus: daemon: %s\n", text);
    return STATUS_FAILED;
}

// The log goes where it can be found; nobody's terminal is held open.
static void background_streams(const struct daemon *daemon)
{
    char *path = value_text("%s/daemon.log", daemon->state);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                                                                       0600);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    if (log >= 0 || null >= 0)
        dup2(log >= 0 ? log : null, STDERR_FILENO);
    free(path);
    if (chdir("/") < 0)
        log_write(LOG_WARNING, "chdir", "reason", strerror(errno), NULL);
}

static void ready_tell(struct daemon *daemon, const char *text)
{
    ssize_t written = daemon->ready < 0 ? 0 : write(daemon->ready, text, text[0] ? strlen(text) : 1);
    (void)written;
    if (daemon->ready >= 0)
        close(daemon->ready);
    daemon->ready = -1;
}

// --- The process -----------------------------------------------------------------------------------------------------
static int failed(struct daemon *daemon, const struct error *error)
{
    if (daemon->bound.st_ino) // nobody will answer there
        unlink(daemon->socket);
    if (daemon->ready >= 0)
        ready_tell(daemon, error->text);
    else
        fprintf(stderr, "nidus: daemon: %s\n", error->text);
    return STATUS_FAILED;
}

// The network's door. What it is known by goes to the log, where the service's user finds it for the clients.
static int serve_remote(struct daemon *daemon, struct error *error)
{
    char *certificate = daemon->certificate ? value_text_copy(daemon->certificate)
                                            : value_text("%s/tls.crt", daemon->state);
    char *key = daemon->key ? value_text_copy(daemon->key) : value_text("%s/tls.key", daemon->state);
    char *path = daemon->token_file ? value_text_copy(daemon->token_file) : value_text("%s/token", daemon->state);
    char token[TLS_TOKEN_MOST + 1], fingerprint[TLS_FINGERPRINT], text[16];
    unsigned port;
    struct ssl_ctx_st *tls = tls_server(certificate, key, !daemon->certificate, error);
    const struct api_remote remote = {.address = daemon->listen, .tls = tls, .token = token};
    const int result = tls && tls_token(token, path, !daemon->token_file, error) == 0
                           ? api_serve_remote(daemon->api, &remote, &port, error) : -1;
    if (result == 0) {
        tls_fingerprint(tls, fingerprint);
        snprintf(text, sizeof text, "%u", port);
        log_write(LOG_INFO, "listens", "address", daemon->listen, "port", text, "fingerprint", fingerprint, "token",
                  path, NULL);
    }
    free(certificate);
    free(key);
    free(path);
    return result;
}

static int serve(struct daemon *daemon)
{
    struct error error;
    const struct service_config config = {.state = daemon->state, .runtime = daemon->runtime, .worker = daemon->worker};
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    const int listener = place_make(daemon->state, &error) < 0 ? -1 : socket_open(daemon, &error);
    if (listener < 0)
        return failed(daemon, &error);
    if (daemon->background) // before there are workers and their log lines
        background_streams(daemon);
    struct service *service = service_open(&config, &error);
    if (!service)
        return failed(daemon, &error);
    daemon->api = api_create(service, &error);
    if (!daemon->api || api_serve(daemon->api, listener, &error) < 0)
        return failed(daemon, &error);
    if (daemon->listen && serve_remote(daemon, &error) < 0)
        return failed(daemon, &error);
    if (!daemon->inherited)
        api_watch(daemon->api, socket_check, daemon);
    log_write(LOG_INFO, "up", "version", NIDUS_VERSION, "socket", daemon->inherited ? "inherited" : daemon->socket,
              "state", daemon->state, NULL);
    service_start_vms(service);
    ready_tell(daemon, "");
    notify_ready();
    api_run(daemon->api);
    log_write(LOG_INFO, "down", NULL);
    if (!daemon->inherited)
        unlink(daemon->socket);
    return STATUS_OK;
}

// Whether a service that listens carried it out. systemd's socket takes the connection also while the host goes down,
// and closes it then.
static bool stop_vms_asked(const struct daemon *daemon)
{
    static const char request[] = "POST /v1/host/stop HTTP/1.1\r\nHost: nidus\r\nConnection: close\r\n"
                                  "Content-Length: 2\r\n\r\n{}";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[4096];
    size_t filled = 0;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%.107s", daemon->socket);
    ssize_t got = fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0
                      ? -1 : send(fd, request, sizeof request - 1, MSG_NOSIGNAL);
    while (got > 0 && filled < sizeof answer - 1) {
        got = recv(fd, answer + filled, sizeof answer - 1 - filled, 0);
        filled += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    answer[filled] = 0;
    return strstr(answer, "{\"end\":");
}

// Virtual machines run on without a service, which may have been ended long before the host: then this process is it.
static int stop_vms(const struct daemon *daemon)
{
    struct error error;
    const struct service_config config = {.state = daemon->state, .runtime = daemon->runtime, .worker = daemon->worker};
    if (stop_vms_asked(daemon) || access(daemon->state, F_OK) < 0)
        return STATUS_OK;
    struct service *service = service_open(&config, &error);
    if (!service) {
        fprintf(stderr, "nidus: daemon: no service answers at '%s', and this one cannot be it: %s\n", daemon->socket,
                error.text);
        return STATUS_FAILED;
    }
    service_stop_vms(service);
    return STATUS_OK;
}

// Who listens on a socket is known from whoever reached it: no file could name another process by then. A socket of
// systemd's own is left alone.
static int end_service(const struct daemon *daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer = {0};
    socklen_t length = sizeof peer;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%.107s", daemon->socket);
    const bool there = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
                       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid > 1;
    struct pollfd end = {.fd = there ? (int)syscall(SYS_pidfd_open, peer.pid, 0) : -1, .events = POLLIN};
    if (fd >= 0)
        close(fd);
    if (end.fd < 0) // nobody, or gone already
        return STATUS_OK;
    const bool asked = syscall(SYS_pidfd_send_signal, end.fd, SIGTERM, NULL, 0) == 0;
    const bool ended = asked && poll(&end, 1, END_MS) == 1;
    if (!ended)
        fprintf(stderr, "nidus: daemon: the service at '%s', process %d, did not end: %s\n", daemon->socket, peer.pid,
                asked ? "it has work in hand" : strerror(errno));
    close(end.fd);
    return ended ? STATUS_OK : STATUS_FAILED;
}

static int options(struct daemon *daemon, int argc, char **argv)
{
    static const struct option names[] = {
        {"background", no_argument, NULL, 'b'},      {"socket", required_argument, NULL, 's'},
        {"state-directory", required_argument, NULL, 'd'}, {"runtime-directory", required_argument, NULL, 'r'},
        {"worker", required_argument, NULL, 'w'},    {"stop-vms", no_argument, NULL, 'v'},
        {"end", no_argument, NULL, 'e'},
        {"group", required_argument, NULL, 'g'},     {"listen", required_argument, NULL, 'l'},
        {"certificate", required_argument, NULL, 'c'}, {"key", required_argument, NULL, 'k'},
        {"token-file", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char **const texts[] = {['w'] = &daemon->worker, ['g'] = &daemon->group, ['l'] = &daemon->listen,
                                  ['c'] = &daemon->certificate, ['k'] = &daemon->key, ['t'] = &daemon->token_file};
    bool socket_given = getenv("NIDUS_SOCKET");
    place_socket(daemon->socket);
    place_state(daemon->state);
    place_runtime(daemon->runtime);
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        char *to = option == 's' ? daemon->socket : option == 'd' ? daemon->state : daemon->runtime;
        switch (option) {
        case 'b':
            daemon->background = true;
            break;
        case 'v':
            daemon->stop_vms = true;
            break;
        case 'e':
            daemon->end = true;
            break;
        case 'w':
        case 'g':
        case 'l':
        case 'c':
        case 'k':
        case 't':
            *texts[option] = optarg;
            break;
        case 's':
        case 'd':
        case 'r':
            if (optarg[0] != '/' || strlen(optarg) >= PLACE_BYTES) {
                fprintf(stderr, "nidus: daemon: '%s' is no absolute path\n", optarg);
                return STATUS_USAGE;
            }
            snprintf(to, PLACE_BYTES, "%s", optarg);
            socket_given |= option == 's';
            break;
        case 'h':
            fputs(usage, stdout);
            return STATUS_OK;
        default:
            return STATUS_USAGE;
        }
    }
    if (!socket_given)
        snprintf(daemon->socket, sizeof daemon->socket, "%.*s/socket", PLACE_BYTES - 8, daemon->runtime);
    if (optind < argc) {
        fprintf(stderr, "nidus: daemon: '%s' is one word too many\n", argv[optind]);
        return STATUS_USAGE;
    }
    if (!daemon->certificate != !daemon->key || (!daemon->listen && (daemon->certificate || daemon->token_file))) {
        fputs("nidus: daemon: --certificate and --key go together, and with --listen, as --token-file does\n", stderr);
        return STATUS_USAGE;
    }
    return -1;
}

int daemon_main(int argc, char **argv)
{
    struct daemon daemon = {.ready = -1};
    int status = options(&daemon, argc, argv);
    if (status < 0 && daemon.end)
        status = end_service(&daemon);
    if (status < 0 && daemon.stop_vms)
        status = stop_vms(&daemon);
    if (status < 0 && daemon.background)
        status = background(&daemon);
    return status < 0 ? serve(&daemon) : status;
}
