package embedded

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const sdks = "../sdks" // the published clients, unmodified

// command runs a program in the SDKs' folder, and returns what it printed.
func command(t *testing.T, environment []string, command ...string) (string, error) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(sdks, "node_modules")); err != nil {
		t.Fatal("the SDKs are not installed; make test installs them")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	program := exec.CommandContext(ctx, command[0], command[1:]...)
	program.Dir, program.Env = sdks, append(os.Environ(), environment...)
	out, err := program.CombinedOutput()
	return string(out), err
}

// front stands between the clients and the API. It fails as it is told, once for each status, and counts.
type front struct {
	*httptest.Server
	mu    sync.Mutex
	fails []int // statuses of the next posts
	posts []string
}

func (s *story) front() *front {
	target, err := url.Parse(s.system.URL)
	if err != nil {
		s.Fatal(err)
	}
	f := &front{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/p.js" { // as the README has a shop's own server give it, beside the API
			w.Header().Set("Content-Type", "text/javascript")
			http.ServeFile(w, r, filepath.Join(sdks, "node_modules/@jitsu/js/dist/web/p.js.txt"))
			return
		}
		if r.Method == http.MethodPost && r.URL.Path != "/v1/m" {
			f.mu.Lock()
			status := 0
			if len(f.fails) > 0 {
				status, f.fails = f.fails[0], f.fails[1:]
			}
			f.posts = append(f.posts, fmt.Sprintf("%s %d", r.URL.Path, status))
			f.mu.Unlock()
			if status != 0 {
				w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
				w.Header().Set("Access-Control-Allow-Credentials", "true")
				w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
				if status == 429 {
					w.Header().Set("Retry-After", "1")
				}
				w.WriteHeader(status)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	s.Cleanup(f.Close)
	return f
}

// failing makes the next posts fail.
func (f *front) failing(statuses ...int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = append(f.fails, statuses...)
}

// sent returns the posts since it was last called.
func (f *front) sent() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	posts := f.posts
	f.posts = nil
	return posts
}

// built is where `make sdks` puts what runs the clients.
const built = "../../build/sdks"

// serverSDK is a published client for servers, and a program that sends one message of each type through it.
type serverSDK struct {
	name    string
	needs   string   // what must have been built; a client in Node needs no more than its package
	command []string // before host, write key and user
	fails   []int    // statuses of the first answers, after which it sends again
	posts   []string // some of what it posts, each with the status that it was refused with, or 0
	lacks   []string // events that it has no method for
}

// serverSDKs are run from the folder of the SDKs. Those in Java wait for 15 s and more before they send again, and Jitsu's does not send
// again, so that these are not refused anything.
var serverSDKs = []serverSDK{
	{name: "segment-node", command: []string{"node", "segment-node.mjs"}, fails: []int{503, 429}, posts: []string{"/v1/batch 503", "/v1/batch 429"}},
	{name: "rudder-node", command: []string{"node", "rudder-node.mjs"}, fails: []int{503, 429}, posts: []string{"/v1/batch 503", "/v1/batch 429"}},
	{name: "jitsu-node", command: []string{"node", "jitsu-node.mjs"}, posts: []string{"/api/s/s2s/identify 0", "/api/s/s2s/track 0"}, lacks: []string{"ScreenViewed", "CustomerAliased"}},
	{name: "segment-python", needs: "python", command: []string{built + "/python/bin/python", "python/segment_python.py"}, fails: []int{503, 429}, posts: []string{"/v1/batch 503", "/v1/batch 429"}},
	{name: "rudder-python", needs: "python", command: []string{built + "/python/bin/python", "python/rudder_python.py"}, fails: []int{503, 429}, posts: []string{"/v1/batch 503", "/v1/batch 429"}},
	{name: "segment-java", needs: "java", command: java("Segment"), posts: []string{"/v1/import/ 0"}},
	{name: "rudder-java", needs: "java", command: java("Rudder"), posts: []string{"/v1/batch 0"}},
	{name: "segment-go", needs: "go", command: []string{built + "/go/segment"}, fails: []int{503, 429}, posts: []string{"/v1/batch 503", "/v1/batch 429"}},
	{name: "rudder-go", needs: "go", command: []string{built + "/go/rudder"}, fails: []int{503, 429}, posts: []string{"/v1/batch 503", "/v1/batch 429"}},
	{name: "rudder-rust", needs: "rust", command: []string{built + "/rust/debug/rudder-rust"}, fails: []int{503, 429}, posts: []string{"/v1/identify 503", "/v1/identify 429", "/v1/track 0", "/v1/batch 0"}},
}

func java(class string) []string {
	return []string{"java", "-cp", built + "/java/classes:" + built + "/java/lib/*", class}
}

// sdkNamed is the client of that name.
func sdkNamed(t *testing.T, name string) serverSDK {
	t.Helper()
	i := slices.IndexFunc(serverSDKs, func(c serverSDK) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no client %s", name)
	}
	return serverSDKs[i]
}

// run runs the program, with more of an environment, and returns what it printed. Without it the test is skipped, unless it must be
// there.
func (c serverSDK) run(t *testing.T, environment []string, arguments ...string) (string, error) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(built, c.needs+".built")); c.needs != "" && err != nil {
		if os.Getenv("DEFTER_SDKS") == "required" {
			t.Fatalf("the SDKs of %s are not built: make sdks builds them", c.needs)
		}
		t.Skipf("the SDKs of %s are not built: make sdks builds them where there is the toolchain", c.needs)
	}
	return command(t, environment, append(slices.Clone(c.command), arguments...)...)
}

func TestServerSDKs(t *testing.T) {
	for _, c := range serverSDKs {
		t.Run(c.name, func(t *testing.T) {
			s := begin(t)
			f := s.front()
			f.failing(c.fails...) // they keep what they could not send
			if out, err := c.run(t, nil, f.URL, s.source("server").key, c.name); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			who := s.known(c.name)
			for event, want := range map[string]int{
				"CustomerCreated": 1, "OrderPlaced": 1, "PageViewed": 1, "ScreenViewed": 1, "GroupJoined": 1, "CustomerAliased": 1, "EventTracked": 1,
			} {
				if slices.Contains(c.lacks, event) {
					want = 0
				}
				if n := who.happened(event); n != want {
					t.Errorf("%d × %s, want %d", n, event, want)
				}
			}
			s.settled()
			who.shown().has("firstName", "Ada", "orders", 1, "lifetimeValue.0.amountMinor", 1250, "lifetimeValue.0.currency", "EUR")
			if list := s.pages("/v1/quarantine", "messages"); len(list) > 0 {
				t.Errorf("quarantined: %v", list)
			}
			posts := f.sent()
			for _, want := range c.posts {
				if !slices.Contains(posts, want) {
					t.Errorf("it posted %v, without %s", posts, want)
				}
			}
		})
	}
}

// TestC4_EveryMessageOfAnAnonymousIDOfItsOwn: RudderStack's Go client makes up an anonymous id for each message. All of them arrive, and
// are the customer's.
func TestC4_EveryMessageOfAnAnonymousIDOfItsOwn(t *testing.T) {
	s := begin(t)
	if out, err := sdkNamed(t, "rudder-go").run(t, nil, s.url, s.source("server").key, "many", "120"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := s.known("many")
	if n := c.happened("EventTracked"); n != 121 {
		t.Errorf("%d events, want 121", n)
	}
	if n := c.happened("OrderPlaced"); n != 1 {
		t.Errorf("%d orders", n)
	}
	if list := s.pages("/v1/quarantine", "messages"); len(list) > 0 {
		t.Errorf("quarantined: %v", list)
	}
}

// TestC5_AClientGivesUpOnAWrongKey: RudderStack's Python client reads code and message of an error, and without them sends again and again.
func TestC5_AClientGivesUpOnAWrongKey(t *testing.T) {
	for _, name := range []string{"rudder-python", "segment-python"} {
		t.Run(name, func(t *testing.T) {
			s := begin(t)
			f := s.front()
			out, err := sdkNamed(t, name).run(t, nil, f.URL, "c000000000000000000000000", "somebody")
			if err == nil || !strings.Contains(out, "(401)") || strings.Contains(out, "unknown") {
				t.Errorf("it says %v %s", err, out)
			}
			if posts := f.sent(); len(posts) != 1 {
				t.Errorf("it posted %v", posts)
			}
		})
	}
}
