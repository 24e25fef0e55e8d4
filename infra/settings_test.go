package main

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSettingsReportEveryMistakeAtOnce(t *testing.T) {
	a := app(t, map[string]any{
		"stage": "Production", "emailFrom": "nobody", "welcomeDelay": "a day", "returnWindow": "a month", "cartIdle": "5s", "paymentProvider": "bank", "arch": "riscv", "opaqueIds": `\QORD-`, "keepBehaviour": "24h",
		"monthlyBudget": "plenty", "reserveConcurrency": "perhaps", "dataController": strings.Repeat("x", 201), "marketingTo": "everybody", "userTokenIssuer": "http://issuer.example", "webAcl": "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/a/b",
	})
	_, err := LoadSettings(a.Node())
	if err == nil {
		t.Fatal("no mistake found")
	}
	for _, name := range []string{"stage", "emailFrom", "welcomeDelay", "returnWindow", "cartIdle", "paymentProvider", "arch", "opaqueIds", "keepBehaviour", "dataController", "marketingTo", "userTokenIssuer", "monthlyBudget", "reserveConcurrency", "webAcl"} {
		if !strings.Contains(err.Error(), "context "+name+"=") {
			t.Errorf("%s is not in: %v", name, err)
		}
	}
}

func TestSettingsHaveDefaults(t *testing.T) {
	s, err := LoadSettings(app(t, nil).Node())
	if err != nil {
		t.Fatal(err)
	}
	if s.Stage != "prod" || s.Arch != "arm64" || s.WelcomeDelay != "24h" || s.EmailIdentity != "example.com" || s.Ephemeral {
		t.Errorf("settings %+v", s)
	}
}

func TestFunctionsOfTheOtherArchitectureAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bootstrap")
	header := make([]byte, 64)
	copy(header, elf.ELFMAG)
	header[elf.EI_CLASS], header[elf.EI_DATA], header[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	binary.LittleEndian.PutUint16(header[16:], uint16(elf.ET_EXEC))
	binary.LittleEndian.PutUint16(header[18:], uint16(elf.EM_X86_64))
	binary.LittleEndian.PutUint32(header[20:], uint32(elf.EV_CURRENT))
	if err := os.WriteFile(path, header, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := checkBootstrap(path, "x86_64"); err != nil {
		t.Error(err)
	}
	if err := checkBootstrap(path, "arm64"); err == nil {
		t.Error("an x86_64 binary passes for arm64")
	}
	if err := checkBootstrap(path+"-missing", "arm64"); err == nil {
		t.Error("a missing binary passes")
	}
}
